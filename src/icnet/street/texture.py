"""Textures of the synthetic street: what a surface looks like, at every distance, and the natural ones (noise, sky, leaves)."""

from functools import cached_property

import cv2
import numpy as np

Colour = tuple[float, float, float]
"""Blue, green, red, 0 to 255."""


def to_bytes(image: np.ndarray) -> np.ndarray:
    """An image of any numeric type as uint8, cut to 0 to 255."""
    return image.clip(0, 255).astype(np.uint8)


class Texture:
    """An image for a flat surface with an optional outline, stored as a pyramid of halved sizes."""

    def __init__(self, colour: np.ndarray, alpha: np.ndarray | None = None) -> None:
        """Args:
        colour: (h, w, 3) uint8 BGR.
        alpha: (h, w) uint8, 255 where there is surface, 0 where one looks past it; None for a full rectangle.
        """
        self._painted = colour
        self.alpha = alpha

    @cached_property
    def colour(self) -> np.ndarray:
        """(h, w, 3) uint8 BGR, made at first use: most pictures of a stock are never looked at."""
        return self._painted if self.alpha is None else _bleed(self._painted, self.alpha)

    @cached_property
    def levels(self) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Colour and alpha at size 1, 1/2, 1/4, ... of the original."""
        levels = [(self.colour, self.alpha)]
        while min(levels[-1][0].shape[:2]) >= 4:
            colour, alpha = levels[-1]
            size = (colour.shape[1] // 2, colour.shape[0] // 2)
            half_alpha = None if alpha is None else cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
            levels.append((cv2.resize(colour, size, interpolation=cv2.INTER_AREA), half_alpha))
        return levels

    def mirrored(self) -> "Texture":
        """The same surface with left and right exchanged."""
        return Texture(np.ascontiguousarray(self.colour[:, ::-1]), None if self.alpha is None else self.alpha[:, ::-1].copy())


def _bleed(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Carry the colours of the surface past its outline, so that interpolation at the edge mixes in nothing foreign."""
    # At a quarter of the size, which is enough for colours that are seen half covered at most.
    weight = (alpha.astype(np.float32) / 255)[..., None]
    inside = colour * weight
    size = (-(-alpha.shape[1] // 4), -(-alpha.shape[0] // 4))
    small, cover = cv2.resize(inside, size, interpolation=cv2.INTER_AREA), cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    faint = np.float32(1e-3)  # of the mean colour: keeps the division defined far from any surface
    mean = inside.sum(axis=(0, 1)) / max(float(weight.sum()), 1.0)
    around = cv2.blur(small, (5, 5)) + faint * mean
    around /= cv2.blur(cover, (5, 5))[..., None] + faint
    around = cv2.resize(around, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return to_bytes(inside + around * (1 - weight))


def flat(colour: Colour, size_hw: tuple[int, int] = (4, 4)) -> Texture:
    """One colour all over."""
    return Texture(np.full((*size_hw, 3), colour, dtype=np.uint8))


def rounded_post(colour: Colour) -> Texture:
    """A cylinder seen from the side: lit on the left, dark on the right."""
    shade = np.array([0.75, 1.15, 1.25, 1.0, 0.85, 0.7, 0.6, 0.55], dtype=np.float32)
    return Texture(to_bytes(np.tile(shade[None, :, None] * np.array(colour), (8, 1, 1))))


def clouds(rng: np.random.Generator, size_hw: tuple[int, int], cells: int, octaves: int = 4, *, fade: float = 0.5) -> np.ndarray:
    """Smooth fractal noise: (h, w) float32 with mean 0 and standard deviation 1.

    Args:
        rng: source of the noise.
        size_hw: size of the result.
        cells: number of coarsest blobs along the longer side.
        octaves: how often the blobs are halved in size.
        fade: strength of each octave relative to the coarser one.
    """
    height, width = size_hw
    total = np.zeros(size_hw, dtype=np.float32)
    for octave in range(octaves):
        scale = cells * 2**octave / max(size_hw)
        grid = rng.standard_normal((max(2, round(height * scale)), max(2, round(width * scale))), dtype=np.float32)
        total += fade**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    result: np.ndarray = (total - total.mean()) / (total.std() + 1e-6)
    return result


def tinted(colour: Colour, brightness: np.ndarray) -> np.ndarray:
    """A colour times a field of brightness (h, w) around 1; (h, w, 3) uint8."""
    return to_bytes(brightness[..., None] * np.array(colour, dtype=np.float32))


def sky(rng: np.random.Generator, *, blueness: float) -> Texture:
    """An overcast sky, white at the horizon; `blueness` goes from 0, a closed cover of clouds, to 1, blue between them."""
    size = (512, 1024)
    height = np.linspace(1, 0, size[0], dtype=np.float32)[:, None]
    cover = cv2.resize(clouds(rng, (size[0] * 2, size[1]), 5, 5), (size[1], size[0]), interpolation=cv2.INTER_AREA)
    gap = np.clip(0.35 + 0.45 * cover, 0, 1) * np.clip(2.2 * height, 0, 1)
    white = np.array([252, 250, 244], dtype=np.float32)
    grey_or_blue = (1 - blueness) * np.array([222, 217, 210]) + blueness * np.array([232, 196, 150])
    return Texture(to_bytes(white + (grey_or_blue - white) * gap[..., None]))


def crown(rng: np.random.Generator, colour: Colour, *, spread: float = 1.0) -> Texture:
    """The leaves of a tree or bush: clusters of one mean colour, lit from above, with a ragged outline and a few gaps.

    A `spread` below 1 is that of a slender tree.
    """
    size = 384
    v, u = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    lumps = clouds(rng, (size, size), 7, 5, fade=0.7)
    alpha = (u / spread) ** 2 + v**2 < 0.62 + 0.18 * lumps - 0.25 * (lumps < -1.5)
    light = np.zeros((size, size), dtype=np.float32)
    for _ in range(260):  # clusters of leaves, each bright above and dark below
        centre = rng.integers(0, size, 2)
        radius = int(rng.integers(8, 30))
        tone = float(0.75 + 0.35 * rng.standard_normal() - 0.35 * (centre[1] / size - 0.5))
        middle = (int(centre[0]), int(centre[1]))
        cv2.circle(light, (middle[0], middle[1] + radius // 3), radius, 0.6 * tone, -1, cv2.LINE_AA)
        cv2.circle(light, middle, int(radius * 0.8), tone, -1, cv2.LINE_AA)
    tones = 0.45 + 0.55 * cv2.GaussianBlur(light, (0, 0), 2) + 0.32 * clouds(rng, (size, size), 60, 3, fade=0.9)
    return Texture(tinted(colour, np.clip(tones, 0.2, 2)), cv2.GaussianBlur(alpha.astype(np.uint8) * 255, (0, 0), 1))


def hedge(rng: np.random.Generator, colour: Colour) -> Texture:
    """A clipped hedge four times as long as high."""
    light = 1 + 0.25 * clouds(rng, (96, 384), 60, 4, fade=0.8) + np.linspace(0.2, -0.35, 96, dtype=np.float32)[:, None]
    return Texture(tinted(colour, np.clip(light, 0.2, 2)))
