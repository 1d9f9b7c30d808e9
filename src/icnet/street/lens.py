"""The lens and the sensor: blur, vignette, exposure and noise."""

from functools import lru_cache

import cv2
import numpy as np

_MARGIN = 64


@lru_cache(maxsize=4)
def _noise(size_hw: tuple[int, int]) -> np.ndarray:
    """(H + 64, W + 64, 3) float32 noise of deviation 1, drawn once: each frame cuts another window from it."""
    rng = np.random.default_rng(5)
    size = (size_hw[0] + _MARGIN, size_hw[1] + _MARGIN)
    shared, own = rng.standard_normal((*size, 1), dtype=np.float32), rng.standard_normal((*size, 3), dtype=np.float32)
    return 0.8 * shared + 0.6 * own


@lru_cache(maxsize=4)
def _vignette(size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: share of the light that reaches each pixel, 255 for all."""
    v, u = np.mgrid[-1 : 1 : size_hw[0] * 1j, -1 : 1 : size_hw[1] * 1j]
    return np.repeat((255 * (1 - 0.16 * (u**2 + v**2) / 2)).astype(np.uint8)[..., None], 3, axis=2)


def expose(image: np.ndarray, rng: np.random.Generator, *, exposure: float, noise: float) -> np.ndarray:
    """What the sensor makes of a scene, (H, W, 3) uint8 BGR, sharp and clean, to the same.

    Args:
        image: the scene.
        rng: source of this frame's noise.
        exposure: factor on all light.
        noise: standard deviation of the noise in grey levels; 0 for none.
    """
    size_hw = (image.shape[0], image.shape[1])
    blurred = cv2.GaussianBlur(image, (0, 0), max(0.4, 0.95 * size_hw[0] / 720))
    result = cv2.multiply(blurred, _vignette(size_hw), scale=exposure / 255)
    if noise <= 0:
        return result
    top, left = rng.integers(0, _MARGIN, 2)
    window = _noise(size_hw)[top : top + size_hw[0], left : left + size_hw[1]]
    return cv2.add(result, np.float32(noise) * window, dtype=cv2.CV_8U)
