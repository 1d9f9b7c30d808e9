"""The painter: draws flat surfaces, far ones first, into an image and a class map at once.

Both are filled through the same binary mask, so a pixel's class is always the class of what was painted there;
softness of edges comes afterwards, from the lens.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from icnet.base.classes import PALETTE_RGB, VOID
from icnet.data.street_camera import Camera, clip_near
from icnet.data.street_ground import SPAN_M, TEXEL_M, TILE_M, Ground
from icnet.data.street_texture import Texture

NEAR_M = 0.4
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
    def frame(self) -> tuple[np.ndarray, np.ndarray]:
        """(3,) the first corner, and (3, 3) the map from (u, v, 1) in the unit square to a multiple of the offset and of 1.

        The map M and the weight row are combined so that `M[:, ...]` serves perspective of trapezia too.
        """
        first, second, third, fourth = self.corners
        basis = np.stack([second - first, fourth - first], axis=1)
        opposite = np.linalg.lstsq(basis, third - first, rcond=None)[0]
        if np.allclose(opposite, 1, atol=1e-3):
            return basis, np.eye(3)
        target = np.array([[0, 0], [1, 0], opposite, [0, 1]], dtype=np.float32)
        return basis, cv2.getPerspectiveTransform(_UNIT, target)

    def lit(self, gain: float) -> "Card":
        """The same card under so much more light."""
        return replace(self, gain=self.gain * gain)


@dataclass(frozen=True)
class Air:
    """Haze between the lens and what it sees."""

    colour: float = 218.0
    """Grey level of haze."""
    range_m: float = 420.0
    """Distance at which 63 % of a surface has gone into the haze."""

    def share(self, depth_m: np.ndarray | float) -> np.ndarray:
        """Share of haze in the colour of a surface at a depth."""
        return 1 - np.exp(-np.asarray(depth_m, dtype=np.float32) / self.range_m)


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

    def draw(self, cards: list[Card]) -> None:
        """Paint cards, the one with the largest order first; equal ones in the order given."""
        if not cards:
            return
        corners = self.camera.project(np.stack([card.corners for card in cards]))
        visible = np.flatnonzero(corners[..., 2].max(axis=1) > NEAR_M)
        for index in visible[np.argsort([-cards[i].order for i in visible], kind="stable")]:
            self._card(cards[index], corners[index])

    def _card(self, card: Card, corners: np.ndarray) -> None:
        if corners[:, 2].min() < NEAR_M:
            corners = clip_near(corners, NEAR_M)
        outline = corners[:, :2] / corners[:, 2:]
        roi = self._window(outline)
        if roi is None:
            return
        left, top, right, bottom = roi
        window = (slice(top, bottom), slice(left, right))
        mask = np.zeros((bottom - top, right - left), dtype=np.uint8)
        cv2.fillPoly(mask, [np.round((outline - (left, top)) * 16).astype(np.int32)], 255, shift=4)
        colour, alpha = card.texture.levels[self._level(card.texture, outline)]
        to_pixels = self._texture_to_pixels(card, colour.shape[:2])
        to_pixels = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ to_pixels
        size = (right - left, bottom - top)
        if alpha is not None:
            cover = cv2.warpPerspective(alpha, to_pixels, size, borderMode=cv2.BORDER_REPLICATE)
            mask[cover < 128] = 0
        patch = cv2.warpPerspective(colour, to_pixels, size, borderMode=cv2.BORDER_REPLICATE)
        haze = float(self.air.share(corners[:, 2].mean()))
        patch = cv2.convertScaleAbs(patch, alpha=card.gain * (1 - haze), beta=self.air.colour * haze)
        if self.flat:
            patch[:] = PALETTE_RGB[card.label][::-1]
        cv2.copyTo(patch, mask, self.image[window])
        self.labels[window][mask != 0] = card.label

    def _window(self, outline: np.ndarray) -> tuple[int, int, int, int] | None:
        """Left, top, right, bottom of the visible part in pixels; None when it faces away or lies outside."""
        following = np.roll(outline, -1, axis=0)
        if np.sum(outline[:, 0] * following[:, 1] - outline[:, 1] * following[:, 0]) <= 0:
            return None
        height, width = self.camera.size_hw
        left, top = np.clip(np.floor(outline.min(axis=0)), 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(outline.max(axis=0)) + 1, 0, (width, height)).astype(int)
        return (int(left), int(top), int(right), int(bottom)) if right > left and bottom > top else None

    @staticmethod
    def _level(texture: Texture, outline: np.ndarray) -> int:
        """The pyramid level whose pixels are about as large as those of the image."""
        ratio = texture.colour.shape[0] * texture.colour.shape[1] / max(cv2.contourArea(outline.astype(np.float32)), 1.0)
        return int(np.clip(np.floor(0.5 * np.log2(ratio) + 0.3), 0, len(texture.levels) - 1))

    def _texture_to_pixels(self, card: Card, texture_hw: tuple[int, int]) -> np.ndarray:
        """(3, 3) homography from texture pixels to image pixels, valid in front of the lens for a card that reaches behind it."""
        basis, warp = card.frame
        plane = np.column_stack([basis, card.corners[0] - self.camera.position])
        height, width = texture_hw
        unit = np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
        return self.camera.projection @ plane @ warp @ unit

    def shadow(self, corners: np.ndarray, softness: np.ndarray) -> None:
        """Darken the ground under an object.

        Args:
            corners: (4, 3) metres, on the ground.
            softness: (h, w) uint8, the share of light that remains, 255 for all.
        """
        points = self.camera.project(corners)
        if self.flat or points[:, 2].min() < NEAR_M:
            return
        outline = points[:, :2] / points[:, 2:]
        roi = self._window(outline)
        if roi is None:
            return
        left, top, right, bottom = roi
        height, width = softness.shape
        source = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], dtype=np.float32)
        to_pixels = cv2.getPerspectiveTransform(source, (outline - (left, top)).astype(np.float32))
        light = cv2.warpPerspective(softness, to_pixels, (right - left, bottom - top), borderValue=255)
        window = self.image[top:bottom, left:right]
        cv2.multiply(window, cv2.merge([light] * 3), dst=window, scale=1 / 255)

    def draw_ground(self, ground: Ground) -> None:
        """Paint everything below the horizon with the ground."""
        camera = self.camera
        height, width = camera.size_hw
        x, y, z = camera.position
        plane = np.linalg.inv(camera.projection @ np.array([[1, 0, 0], [0, 1, 0], [0, 0, -z]], dtype=np.float64))
        u, v = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        sideways, ahead, weight = ((a * u + (b * v + c)).astype(np.float32) for a, b, c in plane)
        below = weight > 1 / 2000  # two kilometres away is the horizon
        first = int(np.argmax(below.any(axis=1))) if below.any() else height
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
            colour = PALETTE_RGB[labels][..., ::-1]
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
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            if stop == start:
                continue
            level = ground.level(int(halvings_along[start]), int(halvings_across[start]))
            scale_u, scale_v = level.shape[1] / ground.colour.shape[1], level.shape[0] / ground.colour.shape[0]
            map_u, map_v = across[start:stop] * scale_u - 0.5, repeat[start:stop] * scale_v - 0.5
            cv2.remap(level, map_u, map_v, cv2.INTER_LINEAR, dst=colour[start:stop], borderMode=cv2.BORDER_WRAP)
        return colour
