"""The ground of the street: asphalt with markings, kerb, pavement and grass, in coordinates along and across the street."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from icnet.base.classes import CAMVID
from icnet.street.texture import Colour, clouds, to_bytes

ROAD, PAVEMENT, TREE = (CAMVID.index(name) for name in ("Road", "Pavement", "Tree"))

TILE_M = 48.0
"""Length of street after which the ground repeats; a multiple of the dash and slab lengths."""

SPAN_M = 12.0
"""The ground is painted to this distance from the centre line; beyond, its edge colour goes on."""

TEXEL_M = 0.025
"""Size of one texture pixel."""

# Of asphalt, pavement and grass: mean colour (BGR), and how far grain and stains change the light.
_COLOURS = np.array([(78, 75, 72), (82, 81, 80), (52, 78, 66)], dtype=np.float32)
_ROUGH = np.array([0.11, 0.06, 0.20], dtype=np.float32)
_BLOTCH = np.array([0.06, 0.07, 0.20], dtype=np.float32)


@dataclass(frozen=True)
class StreetPlan:
    """The street's course and cross-section in metres; all offsets are from the centre line, right positive."""

    half_road: float = 4.4
    pavement: float = 2.6
    bend: float = 3.0
    """Swing of the centre line to one side."""
    bend_length: float = 260.0
    """Length of one swing to the side and back."""

    @property
    def front(self) -> float:
        """Distance of the fronts of the houses from the centre line."""
        return self.half_road + self.pavement

    def centre(self, y: np.ndarray | float) -> np.ndarray:
        """x of the centre line at y."""
        return self.bend * (1 - np.cos(np.asarray(y) * np.float32(2 * np.pi / self.bend_length)))

    def heading(self, y: float) -> float:
        """Direction of the street at y, radians to the right of the y axis."""
        rate = 2 * np.pi / self.bend_length
        return float(np.arctan(self.bend * rate * np.sin(y * rate)))

    def point(self, y: float, offset: float, z: float = 0.0) -> np.ndarray:
        """(3,) world point at an offset from the centre line."""
        return np.array([float(self.centre(y)) + offset, y, z])


@dataclass(frozen=True)
class Ground:
    """The painted ground; rows run along the street, columns across it."""

    plan: StreetPlan
    colour: np.ndarray
    """(TILE_M / TEXEL_M, 2 * SPAN_M / TEXEL_M, 3) uint8 BGR."""
    _levels: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, compare=False)

    def level(self, along: int, across: int) -> np.ndarray:
        """The texture halved so many times along and across: a grazing view needs far fewer rows than columns."""
        key = (min(along, 8), min(across, 6))
        if key not in self._levels:
            rows, columns = self.colour.shape[0] >> key[0], self.colour.shape[1] >> key[1]
            self._levels[key] = cv2.resize(self.colour, (columns, rows), interpolation=cv2.INTER_AREA)
        return self._levels[key]

    def classes(self, offset: np.ndarray) -> np.ndarray:
        """uint8 class at offsets (...) from the centre line in metres."""
        away = np.abs(offset)
        beyond_kerb = np.where(away < self.plan.front, np.uint8(PAVEMENT), np.uint8(TREE))
        return np.where(away < self.plan.half_road, np.uint8(ROAD), beyond_kerb)


def paint_ground(rng: np.random.Generator, plan: StreetPlan) -> Ground:
    """Paint the ground of a street of that cross-section."""
    rows, columns = round(TILE_M / TEXEL_M), round(2 * SPAN_M / TEXEL_M)
    away = np.abs(np.linspace(-SPAN_M, SPAN_M, columns, dtype=np.float32))
    grain = rng.standard_normal((rows, columns), dtype=np.float32)
    stains = clouds(rng, (rows, columns), 14, 4)
    zone = np.digitize(away, (plan.half_road, plan.front))
    light = np.clip(1 + _ROUGH[zone] * grain + _BLOTCH[zone] * stains, 0.3, 2)
    image = light[..., None] * _COLOURS[zone]
    tracks = 1 - 0.08 * np.exp(-(((away - 1.0) / 0.3) ** 2)) - 0.08 * np.exp(-(((away - 2.5) / 0.3) ** 2))
    gutter = 1 - 0.3 * np.exp(-(((away - plan.half_road) / 0.15) ** 2)) * (away < plan.half_road)
    image *= (tracks * gutter)[None, :, None]
    _slabs(rng, image, plan)
    _repairs(rng, image, plan)
    _markings(image, plan, grain)
    return Ground(plan, to_bytes(image))


def _columns(low_m: float, high_m: float) -> slice:
    return slice(round((low_m + SPAN_M) / TEXEL_M), round((high_m + SPAN_M) / TEXEL_M))


def _slabs(rng: np.random.Generator, image: np.ndarray, plan: StreetPlan) -> None:
    """Paving slabs with dark joints, and lighter kerb stones along the road."""
    slab = round(0.6 / TEXEL_M)
    for side in (-1, 1):
        inner, outer = plan.half_road + 0.16, plan.front
        band = image[:, _columns(*sorted((side * inner, side * outer)))]
        count = (band.shape[0] // slab, -(-band.shape[1] // slab))
        tones = np.kron(1 + 0.05 * rng.standard_normal(count), np.ones((slab, slab)))[:, : band.shape[1]]
        band *= tones[..., None]
        band[::slab] *= 0.72
        band[:, ::slab] *= 0.72
        kerb = image[:, _columns(*sorted((side * plan.half_road, side * inner)))]
        kerb *= 1.25
        kerb[:: round(0.8 / TEXEL_M)] *= 0.6


def _repairs(rng: np.random.Generator, image: np.ndarray, plan: StreetPlan) -> None:
    """Patches of newer asphalt, and round covers in the road."""
    limit = plan.half_road - 0.6
    for _ in range(7):
        left = rng.uniform(-limit, limit - 1.2)
        top = int(rng.integers(0, image.shape[0] - 400))
        patch = image[top : top + int(rng.integers(40, 260)), _columns(left, left + rng.uniform(0.5, 1.2))]
        patch *= rng.uniform(0.8, 1.12)
        patch[[0, -1]] *= 0.75
        patch[:, [0, -1]] *= 0.75
    for _ in range(4):
        centre = (int((rng.uniform(-limit, limit) + SPAN_M) / TEXEL_M), int(rng.integers(40, image.shape[0] - 40)))
        cv2.circle(image, centre, 13, (52, 50, 49), -1, cv2.LINE_AA)
        cv2.circle(image, centre, 13, (95, 93, 90), 1, cv2.LINE_AA)


def _markings(image: np.ndarray, plan: StreetPlan, grain: np.ndarray) -> None:
    """A dashed white centre line (4 m and 2 m) and double yellow lines along both kerbs, all worn."""
    wear = np.clip(0.85 + 0.2 * grain, 0.3, 1)
    dashed = (np.arange(image.shape[0]) * TEXEL_M) % 6 < 4

    def line(low_m: float, colour: Colour, where: np.ndarray) -> None:
        columns = _columns(low_m, low_m + 0.12)
        cover = (wear[:, columns] * where[:, None])[..., None]
        image[:, columns] += cover * (np.array(colour, dtype=np.float32) - image[:, columns])

    line(-0.06, (196, 198, 196), dashed)
    for side in (-1, 1):
        for inset in (0.28, 0.48):
            line(side * (plan.half_road - inset) - 0.06, (88, 142, 158), np.ones(image.shape[0], dtype=bool))
