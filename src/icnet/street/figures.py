"""Small flat things with an outline: people, bicycles, signs, traffic lights, lamps and fences."""

import cv2
import numpy as np

from icnet.street.texture import Colour, Texture, clouds, tinted, to_bytes

PHASES = 8
"""Pictures in one cycle of steps or pedal turns."""

_ANGLES = tuple(phase / PHASES * 2 * np.pi for phase in range(PHASES))

SKIN: Colour = (92, 108, 138)

_WALKER_M, _BICYCLE_M = (1.0, 1.85), (1.9, 1.85)
_PX_M = 170


class Brush:
    """Draws shapes in metres into a colour image and its outline at once; the origin is the middle of the bottom edge."""

    def __init__(self, width_m: float, height_m: float) -> None:
        self.size = _size(width_m, height_m)
        self.colour = np.zeros((*self.size, 3), dtype=np.uint8)
        self.alpha = np.zeros(self.size, dtype=np.uint8)

    def _at(self, point: tuple[float, float]) -> tuple[int, int]:
        return round(self.size[1] / 2 + point[0] * _PX_M), round(self.size[0] - point[1] * _PX_M)

    def limb(self, points: list[tuple[float, float]], width_m: float, colour: Colour) -> None:
        """A thick line with round ends through the points."""
        pixels = np.array([self._at(point) for point in points], dtype=np.int32)
        for target, value in ((self.colour, colour), (self.alpha, 255)):
            cv2.polylines(target, [pixels], False, value, max(1, round(width_m * _PX_M)), cv2.LINE_AA)

    def oval(self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour) -> None:
        """A filled ellipse."""
        axes = (max(1, round(radii[0] * _PX_M)), max(1, round(radii[1] * _PX_M)))
        for target, value in ((self.colour, colour), (self.alpha, 255)):
            cv2.ellipse(target, self._at(centre), axes, 0, 0, 360, value, -1, cv2.LINE_AA)

    def shape(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon."""
        pixels = np.array([self._at(point) for point in points], dtype=np.int32)
        for target, value in ((self.colour, colour), (self.alpha, 255)):
            cv2.fillPoly(target, [pixels], value, cv2.LINE_AA)

    def plain(self) -> Texture:
        """What was drawn."""
        return Texture(self.colour, self.alpha)

    def texture(self, light: np.ndarray) -> Texture:
        """What was drawn, under a field of light (h, w) around 1."""
        return Texture(to_bytes(self.colour * light[..., None]), self.alpha)


def _size(width_m: float, height_m: float) -> tuple[int, int]:
    return round(height_m * _PX_M), round(width_m * _PX_M)


def _cloth(rng: np.random.Generator, size_m: tuple[float, float]) -> np.ndarray:
    """(h, w) float32 light on cloth: folds, and a darker right side."""
    size = _size(*size_m)
    folds = clouds(np.random.default_rng(rng.integers(2**31)), size, 14, 3)
    return np.clip(np.linspace(1.25, 0.7, size[1], dtype=np.float32) * (1 + 0.16 * folds), 0.3, 2)


def _shade(colour: Colour, gain: float) -> Colour:
    return (colour[0] * gain, colour[1] * gain, colour[2] * gain)


def walker(rng: np.random.Generator, *, sideways: bool) -> list[Texture]:
    """A person of 1.0 x 1.85 m in PHASES steps, seen from the front or back, or walking to the right."""
    coat = _shade(((52, 44, 40), (38, 36, 36), (40, 46, 72), (70, 60, 46), (84, 84, 86), (34, 44, 38))[rng.integers(6)], 0.9)
    legs = ((36, 32, 30), (58, 46, 38), (44, 44, 46))[rng.integers(3)]
    hair = ((24, 28, 34), (40, 56, 74), (70, 72, 76))[rng.integers(3)]
    bag = bool(rng.random() < 0.5)
    cloth = _cloth(rng, _WALKER_M)
    return [_step(angle, sideways, (coat, legs, hair), bag).texture(cloth) for angle in _ANGLES]


def _step(angle: float, sideways: bool, colours: tuple[Colour, Colour, Colour], bag: bool) -> Brush:
    coat, legs, hair = colours
    brush = Brush(*_WALKER_M)
    swing = float(np.sin(angle))
    for side in (-1, 1):
        stride = side * swing
        lift = 0.10 * max(0.0, float(np.cos(angle)) * side)
        shade = 0.8 if side < 0 else 1.0
        hip, foot = 0.09 * side, 0.10 * side
        knee = (hip, 0.50 + lift)
        if sideways:
            hip, foot = 0.0, 0.34 * stride
            knee = (0.16 * stride + 0.05, 0.48 + lift / 2)
        height = 0.05 + lift
        brush.limb([(hip, 0.90), knee, (foot, height)], 0.15, _shade(legs, shade))
        brush.limb([(foot, height - 0.01), (foot + (0.12 if sideways else 0.02 * side), height - 0.02)], 0.09, (26, 26, 28))
        hand = (-0.28 * stride, 0.85) if sideways else (0.29 * side, 0.82 + 0.05 * stride)
        shoulder = (0.0 if sideways else 0.21 * side, 1.42)
        brush.limb([shoulder, ((shoulder[0] + hand[0]) * 0.52, 1.13), hand], 0.11, _shade(coat, 0.85 * shade))
        brush.oval(hand, (0.045, 0.05), SKIN)
    half = 0.14 if sideways else 0.22
    brush.shape(
        [(-half, 1.42), (half, 1.42), (half * 1.02, 1.1), (half * 0.98, 0.78), (-half * 0.98, 0.78), (-half * 1.02, 1.1)], coat
    )
    if bag:
        brush.oval((-0.17, 1.2) if sideways else (0.0, 1.18), (0.12, 0.2), _shade(coat, 0.6))
    brush.limb([(0.0, 1.42), (0.02 if sideways else 0.0, 1.52)], 0.11, SKIN)
    brush.limb([(0.06 - half, 1.43), (half - 0.06, 1.43)], 0.13, coat)
    brush.oval((0.03 if sideways else 0.0, 1.64), (0.095, 0.125), SKIN)
    brush.oval((0.0, 1.69), (0.105, 0.10), hair)
    return brush


def rider(rng: np.random.Generator, *, sideways: bool) -> list[Texture]:
    """A bicycle and its rider, 1.9 x 1.85 m, in PHASES pedal turns; from behind, or going to the right."""
    coat, frame, cloth = _rider_look(rng)
    draw = _bike_side if sideways else _bike_back
    return [draw(angle, coat, frame).texture(cloth) for angle in _ANGLES]


def parked_bike(rng: np.random.Generator) -> Texture:
    """A bicycle without a rider, seen from its side, in a picture of the same 1.9 x 1.85 m."""
    _, frame, light = _rider_look(rng)
    return _bike_side(0.0, None, frame).texture(light)


def _rider_look(rng: np.random.Generator) -> tuple[Colour, Colour, np.ndarray]:
    """Colours of coat and frame, and the light on both."""
    coat = ((60, 96, 118), (44, 40, 38), (44, 44, 92), (96, 74, 52))[rng.integers(4)]
    frame = ((60, 40, 36), (40, 40, 110), (40, 40, 40), (110, 108, 106))[rng.integers(4)]
    return coat, frame, _cloth(rng, _BICYCLE_M)


def _bike_side(angle: float, coat: Colour | None, frame: Colour) -> Brush:
    """Draw a bicycle going to the right, with a rider if there is a coat."""
    brush = Brush(*_BICYCLE_M)
    for hub in (-0.53, 0.53):
        brush.oval((hub, 0.34), (0.34, 0.34), (28, 28, 28))
        brush.oval((hub, 0.34), (0.29, 0.29), (74, 73, 72))
        for spoke in range(6):
            turn = spoke * np.pi / 6 + angle
            reach = (0.29 * float(np.cos(turn)), 0.29 * float(np.sin(turn)))
            brush.limb([(hub - reach[0], 0.34 - reach[1]), (hub + reach[0], 0.34 + reach[1])], 0.012, (120, 120, 118))
    seat, crank, head = (-0.22, 0.86), (-0.05, 0.32), (0.38, 0.86)
    for joint in (
        [(-0.53, 0.34), seat, head, crank, seat],
        [crank, (-0.53, 0.34)],
        [head, (0.53, 0.34)],
        [head, (0.34, 1.02), (0.5, 1.04)],
    ):
        brush.limb(joint, 0.045, frame)
    brush.limb([(-0.34, 0.92), (-0.1, 0.92)], 0.06, (24, 24, 24))
    if coat is not None:
        for side in (-1, 1):
            pedal = (crank[0] + 0.17 * side * float(np.cos(angle)), crank[1] + 0.17 * side * float(np.sin(angle)))
            knee = ((seat[0] + pedal[0]) / 2 + 0.24, (seat[1] + pedal[1]) / 2 + 0.13)
            brush.limb([(-0.2, 0.97), knee, pedal], 0.13, (44, 40, 38) if side > 0 else (34, 31, 30))
        brush.limb([(-0.2, 0.98), (0.06, 1.42)], 0.29, coat)
        brush.limb([(0.06, 1.42), (0.24, 1.18), (0.44, 1.06)], 0.09, _shade(coat, 0.85))
        brush.oval((0.16, 1.66), (0.1, 0.125), SKIN)
        brush.oval((0.14, 1.73), (0.13, 0.09), (60, 60, 66))
    return brush


def _bike_back(angle: float, coat: Colour, frame: Colour) -> Brush:
    brush = Brush(*_BICYCLE_M)
    brush.oval((0.0, 0.34), (0.05, 0.34), (26, 26, 26))
    brush.limb([(0.0, 0.6), (0.0, 0.9)], 0.06, frame)
    brush.limb([(-0.27, 1.02), (0.27, 1.02)], 0.05, frame)
    brush.oval((0.0, 0.74), (0.04, 0.04), (36, 36, 150))
    for side in (-1, 1):
        height = 0.34 + 0.15 * side * float(np.sin(angle))
        brush.limb([(0.09 * side, 0.95), (0.13 * side, (0.95 + height) / 2), (0.11 * side, height)], 0.13, (40, 37, 35))
        brush.limb([(0.18 * side, 1.4), (0.27 * side, 1.2), (0.25 * side, 1.04)], 0.1, _shade(coat, 0.8))
    brush.shape([(-0.21, 1.46), (0.21, 1.46), (0.17, 0.9), (-0.17, 0.9)], coat)
    brush.oval((0.0, 1.62), (0.095, 0.12), SKIN)
    brush.oval((0.0, 1.68), (0.115, 0.11), (58, 58, 64))
    return brush


def sign(rng: np.random.Generator) -> Texture:
    """A plate of 0.8 x 0.8 m: a round limit or ban, a warning triangle, or a blue direction board."""
    brush = Brush(0.8, 0.8)
    red, white, blue = (44, 36, 150), (196, 198, 198), (120, 62, 24)
    kind = int(rng.integers(4))
    if kind == 0:
        brush.oval((0, 0.4), (0.38, 0.38), red)
        brush.oval((0, 0.4), (0.28, 0.28), white)
        brush.limb([(-0.1, 0.3), (-0.1, 0.5)], 0.06, (30, 30, 30))
        brush.oval((0.08, 0.4), (0.08, 0.11), (30, 30, 30))
    elif kind == 1:
        brush.shape([(-0.39, 0.06), (0.39, 0.06), (0, 0.76)], red)
        brush.shape([(-0.25, 0.14), (0.25, 0.14), (0, 0.58)], white)
        brush.limb([(0, 0.22), (0, 0.42)], 0.06, (30, 30, 30))
    elif kind == 2:
        brush.oval((0, 0.4), (0.38, 0.38), blue)
        brush.limb([(-0.12, 0.52), (0.14, 0.28)], 0.07, white)
    else:
        brush.shape([(-0.38, 0.1), (0.38, 0.1), (0.38, 0.72), (-0.38, 0.72)], white)
        brush.shape([(-0.35, 0.13), (0.35, 0.13), (0.35, 0.69), (-0.35, 0.69)], blue)
        for row in (0.3, 0.52):
            brush.limb([(-0.22, row), (0.2, row)], 0.08, white)
    return brush.plain()


def traffic_light(*, go: bool) -> Texture:
    """A traffic light of 0.45 x 1.1 m on its black board."""
    brush = Brush(0.45, 1.1)
    brush.shape([(-0.21, 0.02), (0.21, 0.02), (0.21, 1.08), (-0.21, 1.08)], (26, 26, 26))
    for height, colour in (
        (0.86, (30, 24, 60 if go else 220)),
        (0.55, (20, 44, 56)),
        (0.24, (120, 220, 60) if go else (30, 50, 26)),
    ):
        brush.oval((0, height), (0.11, 0.11), colour)
    return brush.plain()


def lantern() -> Texture:
    """The head of a street lamp, 0.8 x 0.25 m."""
    brush = Brush(0.8, 0.25)
    brush.oval((0, 0.13), (0.39, 0.1), (92, 92, 90))
    brush.oval((0, 0.09), (0.28, 0.06), (168, 172, 172))
    return brush.plain()


def boards(rng: np.random.Generator) -> Texture:
    """A fence of upright boards, 3.0 x 1.5 m, with posts."""
    light = 1 + 0.12 * clouds(rng, (120, 240), 10, 4)
    light *= np.repeat(1 + 0.12 * rng.standard_normal((1, 20)), 12, axis=1)
    light[:, ::12] *= 0.45
    image = tinted((52, 64, 78), np.clip(light, 0.2, 2))
    image[:8] = image[:8] // 2 + 24
    image[:, :8] = image[:, :8] // 3 * 2
    return Texture(image)


def railings(rng: np.random.Generator) -> Texture:
    """Dark iron railings in front of a dark hedge, 3.0 x 1.2 m; no gaps, as annotators fill them."""
    image = tinted((46, 62, 56), np.clip(0.8 + 0.3 * clouds(rng, (96, 240), 40, 4, fade=0.8), 0.2, 2))
    image[:, ::10] = image[:, 1::10] = image[:, 2::10] = (30, 29, 28)
    for rail in (4, 84):
        image[rail : rail + 6] = (34, 33, 32)
    return Texture(image)
