"""From a model's raw output to a class map of any size.

Doing this outside the graph is faster than x4 upsampling plus argmax inside it, and it meets the frame's own size in one
step: the class scores are interpolated, never the classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from icnet.runtime.graph import Output


def decode(raw: np.ndarray, output: Output, size_hw: tuple[int, int]) -> np.ndarray:
    """Turn one raw output into class indices.

    Args:
        raw: what `Engine.infer` gave: (1, C, h, w) float scores for `logits` and `soft`, (1, h, w) integers for `index`.
        output: which of the three `raw` is.
        size_hw: H and W of the wanted map.

    Returns:
        (H, W) uint8 class indices. Scores are resized bilinearly (half-pixel centres) before the argmax, so `logits` and
        `soft` can differ in a few pixels; an index map is resized to the nearest neighbour.
    """
    if output == "index":
        assert raw.ndim == 3, raw.shape
        assert raw.shape[0] == 1, raw.shape
        return _resize(raw[0].astype(np.uint8), size_hw, cv2.INTER_NEAREST_EXACT)
    assert raw.ndim == 4, raw.shape
    assert raw.shape[0] == 1, raw.shape
    return _resized_argmax(raw[0], size_hw)


def _resize(plane: np.ndarray, size_hw: tuple[int, int], interpolation: int) -> np.ndarray:
    if plane.shape == size_hw:
        return plane
    return cv2.resize(plane, size_hw[::-1], interpolation=interpolation)


def _resized_argmax(scores: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Argmax over (C, h, w) scores resized to (H, W), with one running maximum instead of C full-size planes.

    Of equal scores the lowest class wins, as `np.argmax` has it.
    """
    best = _resize(scores[0], size_hw, cv2.INTER_LINEAR).copy()
    classes = np.zeros(size_hw, np.uint8)
    higher = np.empty(size_hw, np.bool_)
    for index in range(1, len(scores)):
        plane = _resize(scores[index], size_hw, cv2.INTER_LINEAR)
        np.greater(plane, best, out=higher)
        np.copyto(classes, np.uint8(index), where=higher)
        np.maximum(best, plane, out=best)
    return classes
