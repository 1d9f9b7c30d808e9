"""Pictures much larger than the network's input: overlapping windows at the picture's own resolution, blended into one map.

All windows lie on one grid of cells, the pixels that share one position of the network's output. Scores, never classes, are
blended, with weights that fall linearly to a window's border. Those of a few rows of windows are in memory at any time.
"""

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from icnet.base.errors import UsageError
from icnet.runtime.decode import decode_both
from icnet.runtime.preprocess import check_frame
from icnet.runtime.segmenter import Segmentation, Segmenter

OVERLAP = 0.25
"""The fraction of a window's side that it shares with the next one at least."""

_CELL = {"logits": 4, "soft": 1}
"""Kind of output to the side of its cells in pixels."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One side of a picture, cut into windows. The unit is a cell."""

    cells: int
    """Length of the side."""
    window: int
    """Length of a window, which is longer than the side if that is short."""
    starts: list[int]
    """Where each window begins, ascending: the first at 0, the last such that it ends with the side."""
    weights: np.ndarray
    """(windows, length) float32, positive: the part of each window in the blend, as far as it lies on the side. In every cell
    they sum to 1."""

    def span(self, index: int, origin: int = 0) -> slice:
        """The cells that a window covers, counted from `origin`."""
        start = self.starts[index] - origin
        return slice(start, start + self.weights.shape[1])


def cut_axis(cells: int, window: int, overlap: float) -> Axis:
    """Lay as few windows as possible over one side of `cells` cells, evenly.

    Only the part of a window that lies on the side counts; the next one covers at least the fraction `overlap` of it too.
    """
    length = min(window, cells)
    free, step = cells - length, length - int(overlap * length)
    gaps = -(-free // step)
    starts = [free * index // max(gaps, 1) for index in range(gaps + 1)]
    ramp = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    total = np.zeros(cells)
    for start in starts:
        total[start : start + length] += ramp
    weights = np.array([ramp / total[start : start + length] for start in starts], np.float32)
    return Axis(cells, window, starts, weights)


def segment_tiled(
    segmenter: Segmenter, frame_bgr: np.ndarray, *, confidence: bool = False, overlap: float = OVERLAP
) -> Segmentation:
    """Segment one frame at its own resolution, window by window.

    Worth it where things are as large, in pixels, as in the frames that the network knows: a panorama, a mosaic. A window sees
    nothing of the rest, so a single scene at a high resolution is segmented better when it is shrunk, as a call of the segmenter
    does. A frame that fits into the network's input in both dimensions is left to such a call.

    Args:
        segmenter: the model, which gives `logits` or `soft`. Nobody else can use it meanwhile.
        frame_bgr: (H, W, 3) uint8 BGR of any size.
        confidence: also tell how sure the network is of each pixel.
        overlap: the fraction of a window's side that it shares with the next one at least, from 0 to 0.9. More hides the
            borders of the windows better and takes longer.

    Returns:
        The class map at the frame's own size. Beside it and the frame, memory grows with the frame's width only.

    Raises:
        InputError: not such an array.
        UsageError: the model gives class indices only, or the overlap is out of its range, or the engine is at work on a stream.
    """
    check_frame(frame_bgr)
    engine, (height, width) = segmenter.engine, frame_bgr.shape[:2]
    if engine.output == "index":
        raise UsageError("this model gives class indices only, which cannot be blended: use one whose output is soft or logits")
    if not 0 <= overlap <= 0.9:
        raise UsageError(f"windows cannot overlap by {overlap} of their side: give a fraction from 0 to 0.9")
    if height <= engine.size_hw[0] and width <= engine.size_hw[1]:
        return segmenter(frame_bgr, confidence=confidence)

    cell, threads = _CELL[engine.output], engine.options.threads
    rows, columns = (
        cut_axis(-(-side // cell), window // cell, overlap) for side, window in zip((height, width), engine.size_hw, strict=True)
    )

    def data(window: tuple[int, int]) -> np.ndarray:
        return _cut(frame_bgr, rows.starts[window[0]] * cell, columns.starts[window[1]] * cell, engine.size_hw)

    classes = np.empty((height, width), np.uint8)
    confidences = np.empty_like(classes) if confidence else None
    windows = product(range(len(rows.starts)), range(len(columns.starts)))
    with closing(engine.stream(windows, data)) as raws:
        for top, scores in _bands(raws, rows, columns, len(segmenter.classes)):
            bottom = top + scores.shape[2]
            # Pixels of a band's outermost rows lie between its cells and those of another band. The upper ones are right already,
            # the next band puts the lower ones right.
            here = slice((top + 1) * cell if top else 0, min(bottom * cell, height))
            there = slice(here.start - top * cell, here.stop - top * cell)
            size_hw = ((bottom - top) * cell, columns.cells * cell)
            found, known = decode_both(
                scores,
                engine.output,
                size_hw,
                confidence=confidence,
                abstain=segmenter.abstain,
                void=segmenter.classes.void,
                threads=threads,
            )
            classes[here] = found[there, :width]
            if confidences is not None and known is not None:
                confidences[here] = known[there, :width]
    return Segmentation(frame_bgr, classes, segmenter.classes, confidences)


def _cut(frame_bgr: np.ndarray, top: int, left: int, size_hw: tuple[int, int]) -> np.ndarray:
    """(1, h, w, 3) window of the frame; beyond the frame its last row or column is repeated."""
    part = frame_bgr[top : top + size_hw[0], left : left + size_hw[1]]
    below, right = size_hw[0] - part.shape[0], size_hw[1] - part.shape[1]
    if below or right:
        part = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return part[np.newaxis]


def _bands(
    raws: Iterable[tuple[tuple[int, int], np.ndarray | None]], rows: Axis, columns: Axis, classes: int
) -> Generator[tuple[int, np.ndarray], None, None]:
    """Blend windows, row by row of windows, and let go what is finished.

    `raws` gives the index of each window in `rows` and `columns`, and its (1, C, h, w) scores.

    Yields:
        The first row of a band of cells, and its blended scores (1, C, rows, cells of `columns`), which hold good only until
        the next one is asked for. Together they make up the whole map; each begins with the last two rows of the one before,
        if that has as many.
    """
    top, sums = 0, np.zeros((1, classes, rows.weights.shape[1] + 2, columns.cells), np.float32)
    for (row, column), raw in raws:
        assert raw is not None, "every window has an image"
        assert raw.shape[2:] == (rows.window, columns.window), f"{raw.shape} for a window of other cells"
        weights = rows.weights[row][:, np.newaxis] * columns.weights[column]
        sums[:, :, rows.span(row, top), columns.span(column)] += weights * raw[:, :, : weights.shape[0], : weights.shape[1]]
        if column + 1 == len(columns.starts):
            done = rows.starts[row + 1] if row + 1 < len(rows.starts) else rows.cells
            yield top, sums[:, :, : done - top]
            following = max(done - 2, 0)
            kept = sums.shape[2] - (following - top)
            sums[:, :, :kept] = sums[:, :, following - top :]
            sums[:, :, kept:] = 0
            top = following
