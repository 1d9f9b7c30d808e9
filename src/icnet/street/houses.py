"""Fronts of houses: brick, render, windows, doors and shops."""

from dataclasses import dataclass

import cv2
import numpy as np

from icnet.street.texture import Colour, Texture, clouds, tinted, to_bytes

PX_M = 44
"""Texture pixels per metre."""

STOREY_M = 2.9

# Cambridge's walls: yellow-grey and red brick, render, stone and concrete, as a dull day shows them.
_WALLS: tuple[tuple[Colour, bool], ...] = (
    ((92, 104, 112), True),
    ((62, 68, 84), True),
    ((78, 90, 102), True),
    ((50, 54, 68), True),
    ((172, 176, 178), False),
    ((104, 108, 110), False),
    ((128, 136, 142), False),
)
_TRIMS: tuple[Colour, ...] = ((190, 194, 194), (170, 172, 170), (60, 60, 58), (150, 156, 160))
_SHOP_COLOURS: tuple[Colour, ...] = ((90, 44, 30), (38, 36, 110), (46, 74, 34), (40, 40, 42), (120, 116, 112), (30, 96, 132))


@dataclass(frozen=True)
class House:
    """The surfaces of one terraced house."""

    width_m: float
    eaves_m: float
    """Height of the wall."""
    ridge_m: float
    """Height of the roof above the eaves; 0 for a flat roof."""
    front: Texture
    gable: Texture
    roof: Texture


def paint_house(rng: np.random.Generator, *, shop: bool) -> House:
    """Paint a house with two to four storeys, with a shop or a door and windows at street level."""
    width_m, storeys = float(rng.uniform(5.5, 11)), int(rng.choice([2, 3, 3, 4]))
    eaves_m = storeys * STOREY_M + 0.6
    colour, brick = _WALLS[int(rng.integers(len(_WALLS)))]
    wall = _wall(rng, (round(eaves_m * PX_M), round(width_m * PX_M)), colour, brick)
    gable = _wall(rng, (round((eaves_m + 3) * PX_M / 2), round(8 * PX_M / 2)), colour, brick) * 0.9
    trim = _TRIMS[int(rng.integers(len(_TRIMS)))]
    bays = max(2, round(width_m / 2.6))
    for storey in range(1 if shop else 0, storeys):
        top = eaves_m - (storey + 1) * STOREY_M + 0.35
        door = int(rng.integers(bays)) if storey == 0 else -1
        for bay in range(bays):
            middle = width_m * (bay + 0.5) / bays
            if bay == door:
                _door(rng, wall, middle, eaves_m, trim)
            else:
                _window(rng, wall, (middle - 0.55, top + 0.3, middle + 0.55, top + 1.85), trim)
    if shop:
        _shop(rng, wall, width_m, eaves_m)
    wall[: round(0.12 * PX_M)] *= 0.45  # gutter
    wall[round(0.12 * PX_M) : round(0.3 * PX_M)] *= 1.15
    pipe = round(rng.uniform(0.1, 0.3) * PX_M)
    wall[:, pipe : pipe + 4] *= 0.5
    slate = tinted((72, 68, 66), np.clip(1 + 0.12 * clouds(rng, (96, 256), 60, 3), 0.5, 1.5))
    slate[::8] = (slate[::8] * 0.75).astype(np.uint8)
    flat_roof = bool(storeys >= 3 and rng.random() < 0.4)
    ridge_m = 0.0 if flat_roof else float(rng.uniform(1.8, 2.8))
    return House(
        width_m=width_m,
        eaves_m=eaves_m,
        ridge_m=ridge_m,
        front=Texture(to_bytes(wall)),
        gable=_gable(gable, eaves_m, ridge_m),
        roof=Texture(slate),
    )


def _gable(wall: np.ndarray, eaves_m: float, ridge_m: float) -> Texture:
    """The side wall, with the roof's triangle on top."""
    height, width = wall.shape[:2]
    total = eaves_m + ridge_m
    eaves = round(height * ridge_m / total)
    outline = np.array([[0, height], [0, eaves], [width // 2, 0], [width, eaves], [width, height]], dtype=np.int32)
    alpha = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(alpha, [outline], 255)
    return Texture(to_bytes(wall), alpha)


def _wall(rng: np.random.Generator, size_hw: tuple[int, int], colour: Colour, brick: bool) -> np.ndarray:
    """(h, w, 3) float32 wall with courses of brick or with render, and with dirt."""
    height, width = size_hw
    light = 1 + 0.1 * clouds(rng, size_hw, 8, 5) + 0.03 * rng.standard_normal(size_hw, dtype=np.float32)
    if brick:
        rows, columns = -(-height // 4), -(-width // 10) + 1
        tones = cv2.resize(
            (1 + 0.08 * rng.standard_normal((rows, columns))).astype(np.float32),
            (columns * 10, rows * 4),
            interpolation=cv2.INTER_NEAREST,
        )
        light *= tones[:height, :width]
        light[::4] *= 1.08
    light *= 1 - 0.25 * np.linspace(-0.4, 1, height, dtype=np.float32)[:, None] ** 3  # splashed from the road
    return np.clip(light, 0.3, 1.6)[..., None] * np.array(colour, dtype=np.float32)


def _box(wall: np.ndarray, box_m: tuple[float, float, float, float]) -> np.ndarray:
    left, top, right, bottom = (round(value * PX_M) for value in box_m)
    return wall[max(top, 0) : bottom, max(left, 0) : right]


def _glass(rng: np.random.Generator, pane: np.ndarray) -> None:
    """Dark glass with a reflection of the sky that grows upwards, and sometimes a curtain."""
    if not pane.size:
        return
    height = pane.shape[0]
    sheen = np.linspace(1, 0, height, dtype=np.float32)[:, None, None] ** 2 * rng.uniform(10, 110)
    pane[:] = np.array([34, 32, 30]) + sheen + rng.uniform(-8, 8)
    if rng.random() < 0.4:
        edge = max(1, pane.shape[1] // 5)
        pane[:, :edge] = pane[:, -edge:] = rng.uniform(90, 150)


def _window(rng: np.random.Generator, wall: np.ndarray, box_m: tuple[float, float, float, float], trim: Colour) -> None:
    """A sash window with a lintel, a frame and a sill."""
    left, top, right, bottom = box_m
    _box(wall, (left - 0.1, top - 0.2, right + 0.1, top))[:] *= 1.2
    _box(wall, (left, top, right, bottom))[:] = trim
    _glass(rng, _box(wall, (left + 0.07, top + 0.07, right - 0.07, bottom - 0.07)))
    _box(wall, (left, (top + bottom) / 2 - 0.04, right, (top + bottom) / 2 + 0.04))[:] = trim
    _box(wall, ((left + right) / 2 - 0.02, top, (left + right) / 2 + 0.02, bottom))[:] = trim
    _box(wall, (left - 0.1, bottom, right + 0.1, bottom + 0.1))[:] = np.array(trim) * 0.9
    _box(wall, (left - 0.08, bottom + 0.1, right + 0.08, bottom + 0.2))[:] *= 0.6


def _door(rng: np.random.Generator, wall: np.ndarray, middle: float, eaves_m: float, trim: Colour) -> None:
    colour = np.array(_SHOP_COLOURS[int(rng.integers(len(_SHOP_COLOURS)))]) * 0.9
    _box(wall, (middle - 0.6, eaves_m - 2.45, middle + 0.6, eaves_m))[:] = trim
    _box(wall, (middle - 0.47, eaves_m - 2.05, middle + 0.47, eaves_m))[:] = colour
    _glass(rng, _box(wall, (middle - 0.47, eaves_m - 2.37, middle + 0.47, eaves_m - 2.1)))
    for low in (0.25, 1.15):
        _box(wall, (middle - 0.3, eaves_m - low - 0.7, middle + 0.3, eaves_m - low))[:] *= 0.8
    _box(wall, (middle - 0.65, eaves_m - 0.12, middle + 0.65, eaves_m))[:] = (110, 110, 108)


def _shop(rng: np.random.Generator, wall: np.ndarray, width_m: float, eaves_m: float) -> None:
    """A shop front: a coloured fascia with lettering, and wide dark panes with lit goods."""
    colour = np.array(_SHOP_COLOURS[int(rng.integers(len(_SHOP_COLOURS)))], dtype=np.float32)
    top = eaves_m - 3.1
    _box(wall, (0.15, top, width_m - 0.15, eaves_m))[:] = colour * 0.7
    _box(wall, (0.15, top, width_m - 0.15, top + 0.65))[:] = colour
    ink = (205, 210, 210) if colour.mean() < 100 else (40, 38, 36)
    at = width_m * rng.uniform(0.2, 0.35)
    while at < width_m * 0.75:  # letters are bars of uneven width: there is nothing to read
        step = rng.uniform(0.1, 0.3)
        _box(wall, (at, top + 0.18, at + step, top + 0.48))[:] = ink
        at += step + 0.07
    panes = max(2, round(width_m / 1.8))
    for pane in range(panes):
        left = 0.3 + (width_m - 0.6) * pane / panes
        right = 0.3 + (width_m - 0.6) * (pane + 1) / panes - 0.1
        glass = _box(wall, (left, top + 0.8, right, eaves_m - (0.05 if pane == panes // 2 else 0.5)))
        _glass(rng, glass)
        for _ in range(5):
            v, u = int(rng.integers(glass.shape[0] // 3, glass.shape[0] - 4)), int(rng.integers(0, max(glass.shape[1] - 8, 1)))
            spot = glass[v : v + int(rng.integers(4, 26)), u : u + int(rng.integers(4, 20))]
            spot[:] = 0.5 * spot + 0.5 * rng.uniform(20, 150, 3)
    cv2.line(wall, (0, round(top * PX_M)), (wall.shape[1], round(top * PX_M)), (60, 58, 56), 3)
