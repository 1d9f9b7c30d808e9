"""The painter: draws flat surfaces in order of depth into an image and a class map at once.

Both are filled through the same binary mask, so a pixel's class is always the class of what was painted there;
softness of edges comes afterwards, from the lens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil, floor, log2

import cv2
import numpy as np

from icnet.base.classes import CAMVID
from icnet.street.camera import Camera, clip_near
from icnet.street.ground import SPAN_M, TEXEL_M, TILE_M, Ground
from icnet.street.texture import Texture

NEAR_M = 0.4
"""What is nearer to the lens is cut off."""

MIN_AREA_PX = 0.5
"""Smaller surfaces are left out: the outline of each would still colour a whole pixel."""

SKY, VOID = CAMVID.index("Sky"), CAMVID.index("Unlabeled")
_SKY_M = 900.0
_UNIT = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)


@dataclass(frozen=True)
class Card:
    """A flat four-cornered surface with a texture; it is seen from its front only."""

    corners: np.ndarray
    """(4, 3) float64 metres: top left, top right, bottom right, bottom left of the texture."""
    texture: Texture
    label: int
    order: float
    """Painter's order: a card with a larger value is drawn earlier. In metres along the street."""
    gain: float = 1.0
    """Light that falls on it."""

    @cached_property
    def warp(self) -> np.ndarray:
        """(3, 3) homography of the unit square to the plane in units of the card's top and left edges."""
        first, second, third, fourth = self.corners
        if np.abs(first + third - second - fourth).max() < 1e-3:
            return np.eye(3)
        edges = np.stack([second - first, fourth - first], axis=1)
        opposite = np.linalg.lstsq(edges, third - first, rcond=None)[0]
        return cv2.getPerspectiveTransform(_UNIT, np.array([[0, 0], [1, 0], opposite, [0, 1]], dtype=np.float32))


@dataclass(frozen=True)
class Air:
    """Haze between the lens and what it sees."""

    colour: float = 218.0
    """Grey level of haze."""
    range_m: float = 420.0
    """Distance at which 63 % of a surface has gone into the haze."""

    def share(self, depth_m: np.ndarray | float) -> np.ndarray:
        """Share of haze in the colour of a surface at a depth."""
        return np.asarray(1 - np.exp(-np.asarray(depth_m, dtype=np.float32) / self.range_m))


def _level(texture: Texture, area_px: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour and alpha of the pyramid level whose pixels are about as large as those of the image."""
    ratio = texture.colour.shape[0] * texture.colour.shape[1] / max(area_px, 1.0)
    return texture.levels[min(max(int(0.5 * log2(ratio) + 0.3), 0), len(texture.levels) - 1)]


def _texture_to_pixels(corners: np.ndarray, warp: np.ndarray, texture_hw: Sequence[int], origin: tuple[int, int]) -> np.ndarray:
    """(3, 3) homography from texture pixels to image pixels counted from an origin (left, top).

    In homogeneous pixels a plane is spanned by its projected corners (4, 3), so this holds where it reaches behind the lens too.
    """
    plane = np.stack([corners[1] - corners[0], corners[3] - corners[0], corners[0]], axis=1) @ warp
    height, width = texture_hw
    unit = np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
    shift = np.array([[1, 0, -origin[0]], [0, 1, -origin[1]], [0, 0, 1]])
    return np.asarray(shift @ plane @ unit)


class Canvas:
    """An image and its class map while they are being painted."""

    def __init__(self, camera: Camera, air: Air, *, flat: bool = False) -> None:
        """Args:
        camera: the view.
        air: the haze.
        flat: paint every surface in the palette colour of its class instead, to check one against the other.
        """
        self.camera, self.air, self.flat = camera, air, flat
        self.image = np.zeros((*camera.size_hw, 3), dtype=np.uint8)
        """(H, W, 3) uint8 BGR."""
        self.labels = np.full(camera.size_hw, VOID, dtype=np.uint8)
        """(H, W) uint8 class indices."""

    def draw_sky(self, texture: Texture) -> None:
        """Paint the sky, which stays as far away however far one drives."""
        middle = np.asarray(self.camera.position) + np.array([0, _SKY_M, 0])
        aside, top, bottom = np.array([0.8 * _SKY_M, 0, 0]), (0, 0, 0.55 * _SKY_M), (0, 0, -0.05 * _SKY_M)
        corners = np.stack([middle - aside + top, middle + aside + top, middle + aside + bottom, middle - aside + bottom])
        everywhere = np.full(self.camera.size_hw, 255, dtype=np.uint8)
        self._card(Card(corners, texture, SKY, 0), self.camera.project(corners), everywhere, haze=0)

    def draw_bonnet(self) -> None:
        """Paint the edge of the camera's own bonnet, which has no label."""
        height, width = self.camera.size_hw
        span = np.linspace(-0.05, 1.05, 40)
        edge = np.column_stack([span * width, height * (0.965 + 0.16 * (span - 0.62) ** 2)])
        outline = np.concatenate([edge, [[1.05 * width, 1.1 * height], [-0.05 * width, 1.1 * height]]]).round().astype(np.int32)
        cv2.fillPoly(self.labels, [outline], VOID)
        cv2.fillPoly(self.image, [outline], CAMVID.palette_rgb[VOID][::-1].tolist() if self.flat else (38, 36, 34))

    def draw(self, cards: list[Card]) -> None:
        """Paint cards over what is there, as if the one with the largest order came first and equal ones in the order given.

        They are really painted the other way round, each where no nearer one has been: what is hidden costs little.
        """
        if not cards:
            return
        corners = self.camera.project(np.stack([card.corners for card in cards]))
        haze = self.air.share(np.maximum(corners[..., 2].mean(axis=1), 0))
        free = np.full(self.camera.size_hw, 255, dtype=np.uint8)
        for index in self._visible(corners, np.array([card.order for card in cards]))[::-1]:
            self._card(cards[index], corners[index], free, haze=float(haze[index]))

    def _visible(self, corners: np.ndarray, order: np.ndarray) -> np.ndarray:
        """Indices of the cards (N, 4, 3) that may show, farthest first: most of a street is out of view or faces away."""
        height, width = self.camera.size_hw
        depth = corners[..., 2]
        nearest = depth.min(axis=1)
        crossing = (nearest < NEAR_M) & (depth.max(axis=1) > NEAR_M)
        pixels = corners[..., :2] / np.maximum(depth, NEAR_M)[..., None]
        low, high = pixels.min(axis=1), pixels.max(axis=1)
        inside = (low < (width, height)).all(axis=1) & (high > 0).all(axis=1) & (nearest >= NEAR_M)
        x, y = pixels[..., 0], pixels[..., 1]
        diagonals = (x[:, 2] - x[:, 0]) * (y[:, 3] - y[:, 1]) - (x[:, 3] - x[:, 1]) * (y[:, 2] - y[:, 0])
        kept = np.flatnonzero(crossing | (inside & (diagonals > 2 * MIN_AREA_PX)))
        return kept[np.argsort(-order[kept], kind="stable")]

    def _card(self, card: Card, corners: np.ndarray, free: np.ndarray, *, haze: float) -> None:
        """Paint one card, given by its homogeneous pixels (4, 3), where `free` (H, W) is 255, and clear that there."""
        patch = self._patch(corners)
        if patch is None:
            return
        mask, area, origin, window = patch
        cv2.bitwise_and(mask, free[window], dst=mask)
        if not cv2.countNonZero(mask):
            return
        size = (mask.shape[1], mask.shape[0])
        colour, alpha = _level(card.texture, area)
        to_pixels = _texture_to_pixels(corners, card.warp, colour.shape[:2], origin)
        if alpha is not None:
            cover = cv2.warpPerspective(alpha, to_pixels, size, borderMode=cv2.BORDER_REPLICATE)
            cv2.bitwise_and(mask, cv2.threshold(cover, 127, 255, cv2.THRESH_BINARY)[1], dst=mask)
        if self.flat:
            seen = np.full((*mask.shape, 3), CAMVID.palette_rgb[card.label][::-1], dtype=np.uint8)
        else:
            seen = cv2.warpPerspective(colour, to_pixels, size, borderMode=cv2.BORDER_REPLICATE)
            seen = cv2.convertScaleAbs(seen, alpha=card.gain * (1 - haze), beta=self.air.colour * haze)
        cv2.copyTo(seen, mask, self.image[window])
        cv2.copyTo(np.full_like(mask, card.label), mask, self.labels[window])
        cv2.bitwise_xor(mask, free[window], dst=free[window])

    def _patch(self, corners: np.ndarray) -> tuple[np.ndarray, float, tuple[int, int], tuple[slice, slice]] | None:
        """The part of the image that a polygon of homogeneous pixels (N, 3) covers.

        Returns:
            Its mask, 255 inside; its area in pixels; left and top of the mask in the image; and the slices of the image under it.
            None when the polygon faces away, or lies outside the image or behind the lens.
        """
        if corners[:, 2].min() < NEAR_M:
            corners = clip_near(corners, NEAR_M)
        outline = corners[:, :2] / corners[:, 2:]
        points = outline.tolist()  # for a handful of corners, plain numbers are faster than arrays
        area = 0.5 * sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1], strict=True))
        if area <= 0:
            return None
        height, width = self.camera.size_hw
        left, right = max(floor(min(p[0] for p in points)), 0), min(ceil(max(p[0] for p in points)) + 1, width)
        top, bottom = max(floor(min(p[1] for p in points)), 0), min(ceil(max(p[1] for p in points)) + 1, height)
        if right <= left or bottom <= top:
            return None
        mask = np.zeros((bottom - top, right - left), dtype=np.uint8)
        cv2.fillPoly(mask, [np.rint((outline - (left, top)) * 16).astype(np.int32)], 255, shift=4)
        return mask, area, (left, top), (slice(top, bottom), slice(left, right))

    def shadow(self, corners: np.ndarray, softness: np.ndarray) -> None:
        """Darken the ground under an object: a parallelogram of (4, 3) metres, far left, far right, near right, near left.

        `softness`, (h, w) uint8, is the share of light that remains, 255 for all.
        """
        points = self.camera.project(corners)
        patch = None if self.flat else self._patch(points)
        if patch is None:
            return
        mask, _, origin, window = patch
        to_pixels = _texture_to_pixels(points, np.eye(3), softness.shape, origin)
        light = cv2.warpPerspective(softness, to_pixels, (mask.shape[1], mask.shape[0]), borderMode=cv2.BORDER_REPLICATE)
        light[mask == 0] = 255
        cv2.multiply(self.image[window], cv2.merge([light] * 3), dst=self.image[window], scale=1 / 255)

    def draw_ground(self, ground: Ground) -> None:
        """Paint everything below the horizon with the ground."""
        camera = self.camera
        height, width = camera.size_hw
        x, y, z = camera.position
        plane = np.linalg.inv(camera.projection @ np.array([[1, 0, 0], [0, 1, 0], [0, 0, -z]], dtype=np.float64))
        u, v = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        sideways, ahead, weight = ((a * u + (b * v + c)).astype(np.float32) for a, b, c in plane)
        below = weight > 1 / 2000  # two kilometres away is the horizon
        first = int(np.argmax(below.any(axis=1)))
        below, weight = below[first:], np.maximum(weight[first:], 1 / 2000)
        along = ahead[first:] / weight + np.float32(y)
        offset = sideways[first:] / weight + np.float32(x) - ground.plan.centre(along).astype(np.float32)
        colour = self._ground_colour(ground, along, offset)
        depth = np.median(1 / weight, axis=1)
        haze = self.air.share(depth)[:, None, None]
        sheen = 1 + 0.35 * (1 - np.exp(-depth / 45))[:, None, None]  # a wet grey sky mirrors in asphalt at a grazing angle
        colour = (colour * (sheen * (1 - haze)) + self.air.colour * haze).astype(np.uint8)
        labels = ground.classes(offset)
        if self.flat:
            colour = CAMVID.palette_rgb[labels][..., ::-1]
        mask = below.astype(np.uint8)
        cv2.copyTo(np.ascontiguousarray(colour), mask, self.image[first:])
        cv2.copyTo(labels, mask, self.labels[first:])

    def _ground_colour(self, ground: Ground, along: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Look the ground up, in bands of rows that use one pyramid level each."""
        across = (np.clip(offset, 0.05 - SPAN_M, SPAN_M - 0.05) + SPAN_M) / TEXEL_M
        repeat = (along % TILE_M) / TEXEL_M
        middle = along[:, along.shape[1] // 2] - self.camera.position[1]
        pixel_m = np.maximum(middle, 0.5) / self.camera.focal_px
        halvings_across = np.clip(np.round(np.log2(pixel_m / TEXEL_M)), 0, 6).astype(int)
        step = np.log2(pixel_m * np.maximum(middle, 0.5) / self.camera.position[2] / TEXEL_M)
        halvings_along = np.clip(np.round(step), 0, 8).astype(int)
        colour = np.empty((*along.shape, 3), dtype=np.uint8)
        key = halvings_along * 16 + halvings_across
        edges = [0, *(np.flatnonzero(np.diff(key)) + 1), len(key)]
        for start, stop in pairwise(edges):
            level = ground.level(int(halvings_along[start]), int(halvings_across[start]))
            scale_u, scale_v = level.shape[1] / ground.colour.shape[1], level.shape[0] / ground.colour.shape[0]
            map_u, map_v = across[start:stop] * scale_u - 0.5, repeat[start:stop] * scale_v - 0.5
            cv2.remap(level, map_u, map_v, cv2.INTER_LINEAR, dst=colour[start:stop], borderMode=cv2.BORDER_WRAP)
        return colour
