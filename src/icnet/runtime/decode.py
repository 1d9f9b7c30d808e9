"""From a model's raw output to a class map of any size.

Interpolation and argmax are one pass over the output, outside the graph: no full-size plane of scores is ever written, and
the scores are brought straight to the frame's own size, never the classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from icnet.base.cores import available_cores
from icnet.base.errors import UsageError
from icnet.runtime.kernels import Map, argmax_rows, interpolated_at, softmax_rows, taps

if TYPE_CHECKING:
    from icnet.network.openvino_model import Output

_STRIP = 32
"""Rows below which handing a strip to another thread costs more than it gives."""


def decode(raw: np.ndarray, output: Output, size_hw: tuple[int, int], *, threads: int | None = None) -> np.ndarray:
    """Turn one raw output into class indices, (H, W) uint8.

    Args:
        raw: what `Engine.infer` gave: (1, C, h, w) float scores for `logits` and `soft`, (1, h, w) integers for `index`. Scores
            are resized bilinearly (half-pixel centres, as `cv2.resize` does) before the argmax, so `logits` and `soft` can differ
            in a few pixels; of equal scores the lowest class wins. An index map is resized to the nearest neighbour.
        output: which of the three `raw` is.
        size_hw: H and W of the wanted map.
        threads: how many to use; all cores if not given.
    """
    if output == "index":
        assert raw.ndim == 3, raw.shape
        assert raw.shape[0] == 1, raw.shape
        plane: np.ndarray = raw[0].astype(np.uint8)
        return plane if plane.shape == size_hw else cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    where, classes = _map(raw, size_hw), np.empty(size_hw, np.uint8)
    _in_strips(lambda start, stop: argmax_rows(where, start, stop, classes), size_hw[0], threads)
    return classes


def decode_confidence(raw: np.ndarray, output: Output, classes: np.ndarray, *, threads: int | None = None) -> np.ndarray:
    """How probable the network finds the classes that `decode` gave.

    Args:
        raw: what `Engine.infer` gave, (1, C, h, w) float scores.
        output: `logits` or `soft`.
        classes: (H, W) class indices, of `decode`.
        threads: how many to use; all cores if not given.

    Returns:
        (H, W) uint8: the softmax of the interpolated logits, or the interpolated probability, at the class of each pixel,
        times 255.

    Raises:
        UsageError: `output` is `index`, which tells no confidence.
    """
    if output == "index":
        raise UsageError("this model gives class indices only, without confidence: use one whose output is soft or logits")
    classes = np.ascontiguousarray(classes, np.uint8)
    where, confidence = _map(raw, classes.shape), np.empty(classes.shape, np.uint8)
    assert int(classes.max(initial=0)) < len(where.scores), "classes of other scores"

    def work(start: int, stop: int) -> None:
        if output == "logits":
            softmax_rows(where, start, stop, classes, confidence)
        else:
            confidence[start:stop] = 255 * np.clip(interpolated_at(where, start, stop, classes), 0, 1) + 0.5

    _in_strips(work, len(classes), threads)
    return confidence


def decode_both(
    raw: np.ndarray,
    output: Output,
    size_hw: tuple[int, int],
    *,
    confidence: bool,
    abstain: float = 0.0,
    void: int | None = None,
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """`decode`, and `decode_confidence` if it is wanted; pixels of less confidence than `abstain`, 0 to 1, become `void`."""
    assert void is not None or not abstain, "no class to abstain with"
    classes = decode(raw, output, size_hw, threads=threads)
    if not (confidence or abstain):
        return classes, None
    found = decode_confidence(raw, output, classes, threads=threads)
    if abstain:
        classes[found < 255 * abstain] = void
    return classes, found if confidence else None


def _map(raw: np.ndarray, size_hw: tuple[int, ...]) -> Map:
    assert raw.ndim == 4, raw.shape
    assert raw.shape[0] == 1, raw.shape
    rows, columns = (taps(old, new) for old, new in zip(raw.shape[2:], size_hw, strict=True))
    return Map(np.ascontiguousarray(raw[0], np.float32), rows, columns)


def _in_strips(work: Callable[[int, int], None], height: int, threads: int | None) -> None:
    """Call `work(start, stop)` for strips that make up `height` rows, in several threads."""
    count = max(1, min(threads or available_cores(), height // _STRIP))
    edges = [height * index // count for index in range(count + 1)]
    others = [_pool().submit(work, start, stop) for start, stop in pairwise(edges[1:])]
    try:
        work(edges[0], edges[1])
    finally:
        wait(others)
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, available_cores() - 1), thread_name_prefix="icnet-decode")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # its threads stay behind
