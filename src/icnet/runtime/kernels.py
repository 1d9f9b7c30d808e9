"""The inner loops of decoding: the C library that was built with the package, or the same in NumPy, several times as slow.

All functions go over output rows `start` to `stop` and hold no Python lock for most of their time, so strips of a map can be
decoded in several threads.
"""

import ctypes
import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

LIBRARY = "_kernels"
"""Name of the C library beside this file; its suffix depends on the system."""


class _CMap(ctypes.Structure):
    """`Map` of kernels.c."""

    _fields_ = (
        ("scores", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("count", "height", "width", "size")),
        *((name, ctypes.c_void_p) for name in ("above", "below", "row_shares", "left", "right", "column_shares")),
    )


@dataclass(frozen=True, eq=False)
class Taps:
    """Where the samples of a resized axis lie: between two old ones."""

    before: np.ndarray
    """(size,) int32 index of the one before."""
    after: np.ndarray
    """(size,) int32 index of the one behind; the same at the border."""
    share: np.ndarray
    """(size,) float32 share of the latter."""


@lru_cache(maxsize=32)
def taps(size: int, new_size: int) -> Taps:
    """Bilinear interpolation of one axis, half-pixel centres, edges repeated: what `cv2.resize` does."""
    centres = np.clip((np.arange(new_size) + 0.5) * (size / new_size) - 0.5, 0, size - 1)
    before = np.floor(centres)
    after = np.minimum(before + 1, size - 1)
    return Taps(before.astype(np.int32), after.astype(np.int32), (centres - before).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Map:
    """Scores and the positions at which they are wanted."""

    scores: np.ndarray
    """(C, h, w) float32, contiguous."""
    rows: Taps
    columns: Taps

    @property
    def _c(self) -> _CMap:
        count, height, width = self.scores.shape
        rows, columns = self.rows, self.columns
        arrays = (rows.before, rows.after, rows.share, columns.before, columns.after, columns.share)
        size = len(columns.before)
        return _CMap(self.scores.ctypes.data, count, height, width, size, *(array.ctypes.data for array in arrays))

    def _row_blend(self, plane: np.ndarray, start: int, stop: int) -> np.ndarray:
        """(h, w) to (stop - start, w)."""
        upper, lower = plane[self.rows.before[start:stop]], plane[self.rows.after[start:stop]]
        blend: np.ndarray = upper + self.rows.share[start:stop, np.newaxis] * (lower - upper)
        return blend


def argmax_rows(where: Map, start: int, stop: int, classes: np.ndarray) -> None:
    """Write the class of the highest interpolated score into `classes`, (H, W) uint8; of equal ones the lowest class wins."""
    library = _library()
    if library is not None:
        _call(library.argmax_rows, where, start, stop, classes)
        return
    # Along a row, interpolation between two cells in which the same class is best cannot make another one best.
    columns = where.columns
    blend = np.stack([where._row_blend(plane, start, stop) for plane in where.scores])
    winner = blend.argmax(axis=0).astype(np.uint8)
    part = classes[start:stop]
    np.take(winner, columns.before, axis=1, out=part)
    mixed = part != winner[:, columns.after]
    ys, xs = np.nonzero(mixed)
    left, right = blend[:, ys, columns.before[xs]], blend[:, ys, columns.after[xs]]
    part[mixed] = (left + columns.share[xs] * (right - left)).argmax(axis=0)


def softmax_rows(where: Map, start: int, stop: int, classes: np.ndarray, confidence: np.ndarray) -> None:
    """Write 255 times the softmax of interpolated logits at `classes`, rounded, into `confidence`, both (H, W) uint8."""
    library = _library()
    if library is not None:
        _call(library.softmax_rows, where, start, stop, classes, confidence)
        return
    highest = interpolated_at(where, start, stop, classes)
    total = np.zeros_like(highest)
    for index in range(len(where.scores)):
        excess = interpolated_at(where, start, stop, np.full_like(classes[:1], index)) - highest
        total += np.exp(np.minimum(excess, 80))  # far above it the probability is 0 all the same
    confidence[start:stop] = 255 / total + 0.5


def interpolated_at(where: Map, start: int, stop: int, classes: np.ndarray) -> np.ndarray:
    """Interpolated scores of the given classes, (stop - start, W) float32; `classes` has H rows, or one for all."""
    columns, chosen = where.columns, classes if len(classes) == 1 else classes[start:stop]
    result = np.empty((stop - start, len(columns.before)), np.float32)
    for index in np.unique(chosen):
        row = where._row_blend(where.scores[index], start, stop)
        left, right = row[:, columns.before], row[:, columns.after]
        np.copyto(result, left + columns.share * (right - left), where=chosen == index)
    return result


def compiled() -> bool:
    """Whether the C library is at hand."""
    return _library() is not None


@cache
def _library() -> ctypes.CDLL | None:
    here = Path(__file__)
    source = hashlib.sha256(here.with_suffix(".c").read_bytes()).hexdigest()
    for path in here.parent.glob(f"{LIBRARY}.*"):
        try:
            library = ctypes.CDLL(str(path))
            library.source_sha256.restype = ctypes.c_char_p
            if library.source_sha256().decode() == source:
                return library
        except (OSError, AttributeError):  # built for another machine, or no such library
            continue
    return None


def _call(function: "ctypes._NamedFuncPointer", where: Map, start: int, stop: int, *arrays: np.ndarray) -> None:
    assert all(array.dtype == np.uint8 and array.flags.c_contiguous for array in arrays), "bytes, row by row"
    arguments = (ctypes.c_void_p(array.ctypes.data) for array in arrays)
    if function(ctypes.byref(where._c), ctypes.c_int32(start), ctypes.c_int32(stop), *arguments):
        raise MemoryError
