"""Whether a network is as sure as it is right: expected calibration error, reliability diagram. Guo et al., arXiv 1706.04599."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 15
"""Of equal width, as in the paper."""

_LEVELS = 256


@dataclass(frozen=True)
class Reliability:
    """The diagram: arrays of (`BINS`,) float64."""

    pixels: np.ndarray
    """How many are in each bin of confidence."""
    confidence: np.ndarray
    """Their mean confidence; NaN in an empty bin."""
    accuracy: np.ndarray
    """The share of them that is right; NaN in an empty bin."""

    @property
    def error(self) -> float:
        """ECE, from 0 to 1: the mean distance of accuracy and confidence over the pixels; NaN without any."""
        total = self.pixels.sum()
        distance = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((self.pixels * distance).sum() / total) if total else float("nan")


class Calibration:
    """Sums over pictures, at whatever size they are scored: 256 levels of confidence, so memory does not grow.

    Confidence comes as bytes from the decoder, as every program gets it; the rounding moves ECE by 0.002 at the very most.
    """

    def __init__(self) -> None:
        """Count nothing yet."""
        self._pixels: np.ndarray = np.zeros(_LEVELS, np.int64)
        self._hits: np.ndarray = np.zeros(_LEVELS, np.int64)

    def add(self, confidence: np.ndarray, right: np.ndarray) -> None:
        """Count labelled pixels.

        Args:
            confidence: uint8 of any shape, 255 times the probability of the class that was found.
            right: bool of the same shape, whether that is the true one.
        """
        self._pixels += np.bincount(confidence.ravel(), minlength=_LEVELS)
        self._hits += np.bincount(confidence[right], minlength=_LEVELS)

    def reliability(self) -> Reliability:
        """The diagram of what was counted."""
        levels = np.arange(_LEVELS)
        bins = np.maximum(0, (levels * BINS + 254) // 255 - 1)  # open below and closed above, as in the paper
        sums = (np.bincount(bins, values, BINS) for values in (self._pixels, levels / 255 * self._pixels, self._hits))
        pixels, confidence, hits = sums
        with np.errstate(invalid="ignore"):
            return Reliability(pixels, confidence / pixels, hits / pixels)
