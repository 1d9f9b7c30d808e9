"""Outlines and run lengths as pixels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from icnet.base.errors import InputError, require
from icnet.data.formats.source import UNLABELLED, Labels
from icnet.data.formats.tables import INSTALL

_FAR = 8
"""Points may lie so many sizes of the picture outside of it: further ones are mistakes, and would take any memory to draw."""

_MOST_PIXELS = 64_000_000


def blank(size_hw: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8, all unlabelled.

    Raises:
        InputError: no picture has this size.
    """
    height, width = size_hw
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        raise InputError(f"its labels are for {width}x{height} pixels: expected the picture's size")
    return np.full((height, width), UNLABELLED, np.uint8)


def polygon(rings: Sequence[Any], size_hw: tuple[int, int]) -> np.ndarray:
    """The pixels inside any of several rings, as COCO's own tools draw them.

    Args:
        rings: each x, y, x, y, ... in pixels from the top left corner, at least three points.
        size_hw: of the picture.

    Returns:
        (H, W) bool.

    Raises:
        InputError: a ring has too few points, or points that are no numbers or far outside of the picture.
    """
    coco = require("pycocotools.mask", "outlines need pycocotools", INSTALL)
    height, width = size_hw
    if not rings:
        raise InputError("an outline is empty")
    for ring in rings:
        if not isinstance(ring, Sequence) or not all(type(value) in (int, float) and math.isfinite(value) for value in ring):
            raise InputError("an outline holds something else than numbers")
        if len(ring) < 6 or len(ring) % 2:
            raise InputError(f"an outline has {len(ring)} numbers: expected x and y of three points or more")
        reach = _FAR * max(height, width)
        if max(map(abs, ring)) > reach:
            raise InputError(f"an outline reaches {max(map(abs, ring)):.0f} pixels far, and the picture is {width}x{height}")
    drawn = coco.decode(coco.merge(coco.frPyObjects([list(map(float, ring)) for ring in rings], height, width)))
    return np.asarray(drawn, bool)


def run_lengths(counts: Any, size_hw: tuple[int, int]) -> np.ndarray:
    """The pixels of COCO's run lengths, which go down the columns, compressed or not.

    Args:
        counts: lengths of runs outside and inside in turn, a list or COCO's text of it.
        size_hw: of the picture.

    Returns:
        (H, W) bool.

    Raises:
        InputError: these are no run lengths, or of another size.
    """
    height, width = size_hw
    try:
        lengths = decompressed(counts) if isinstance(counts, str | bytes) else np.array(counts)
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or (lengths < 0).any() or lengths.sum() != height * width:
            raise ValueError
    except (ValueError, IndexError, OverflowError) as error:
        raise InputError(f"run lengths are damaged or not of {width}x{height} pixels") from error
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def decompressed(text: str | bytes) -> np.ndarray:
    """(N,) int64 run lengths of COCO's text (`rleFrString` in pycocotools' maskApi.c).

    Raises:
        ValueError, IndexError: the text is none.
    """
    groups = np.frombuffer(text.encode("ascii") if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    last = groups & 32 == 0
    if not groups.size or groups.min() < 0 or groups.max() > 63 or not last[-1]:
        raise ValueError("no run lengths")
    starts = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    place = np.arange(groups.size) - np.repeat(starts, np.diff(starts, append=groups.size))
    if place.max() > 6:
        raise ValueError("a length of more than 35 bits")
    values = np.add.reduceat((groups & 31) << 5 * place, starts)
    ends = np.append(starts[1:], groups.size) - 1
    values -= np.where(groups[ends] & 16, np.int64(1) << 5 * (place[ends] + 1), 0)
    for first in (1, 2):  # from the fourth on each is told by its difference from the last but one
        values[first::2] = np.cumsum(values[first::2])
    return values


class Canvas:
    """The labels of one picture, drawn object by object."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        """Begin with nothing labelled.

        Raises:
            InputError: no picture has this size.
        """
        self.size_hw = size_hw
        self._ids = blank(size_hw)
        self._waiting: list[tuple[int, int, np.ndarray]] = []
        self._broken: list[str] = []

    def paint(self, position: int, mask: np.ndarray) -> None:
        """Give the pixels of a (H, W) bool mask to a class, over what was painted before."""
        self._ids[mask] = position

    def paint_by_size(self, position: int, mask: np.ndarray) -> None:
        """The same at the end, when larger masks have been painted: small things stay visible on large ones."""
        self._waiting.append((-int(np.count_nonzero(mask)), position, np.packbits(mask)))  # hundreds would take hundreds of MB

    def miss(self, text: str) -> None:
        """Note an object that cannot be drawn."""
        self._broken.append(text)

    def labels(self) -> Labels:
        """What was painted, with one fault for all objects that could not be."""
        for _, position, bits in sorted(self._waiting, key=lambda each: each[0]):
            self.paint(position, np.unpackbits(bits, count=self._ids.size).reshape(self.size_hw).view(bool))
        more = f", and {len(self._broken) - 1} more" * (len(self._broken) > 1)
        return Labels(self._ids, (("broken-shape", f"{self._broken[0]}{more}"),) if self._broken else ())
