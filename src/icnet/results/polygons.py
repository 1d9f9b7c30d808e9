"""Exact outlines of the regions of a class map, and the pixels inside an outline.

Coordinates are those of pixel corners: x to the right from 0 to the width, y down from 0 to the height; pixel (row, column)
covers x from column to column + 1 and y from row to row + 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

_OUTSIDE = 255
"""Stands for the classes that are not wanted, and for what surrounds the picture."""

_SIDES = ((1, 1), (1, 0), (0, 0), (0, 1))
"""Row and column, from the upper left one, of the four pixels around a corner: clockwise on the screen from the lower right."""


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels of one class that hang together by their sides.

    Every ring begins at its leftmost one of the topmost corners, turns at each of its points, and passes each once; rings may
    touch at a point. The region lies to the right of whoever walks along a ring on the screen. So by the numbers as they are,
    which tools draw with y up, the outer ring is counterclockwise (its shoelace sum is positive) and a hole clockwise, as GeoJSON
    (RFC 7946, 3.1.6) wants it.
    """

    class_index: int
    outer: np.ndarray
    """(N, 2) int32 x, y of the corners; the first one is not repeated."""
    holes: tuple[np.ndarray, ...]
    """Rings like `outer`, from top to bottom; pixels of other regions, or other classes, lie in them."""
    area: int
    """Pixels, without those in holes."""

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """Left, top, width and height in pixels."""
        left, top = (int(value) for value in self.outer.min(axis=0))
        right, bottom = (int(value) for value in self.outer.max(axis=0))
        return left, top, right - left, bottom - top


@dataclass(frozen=True, eq=False)
class _Corners:
    """Where outlines turn, in the order of rows; C of them, directions 0 right, 1 down, 2 left, 3 up."""

    x: np.ndarray  # (C,) int64
    y: np.ndarray  # (C,) int64
    side: np.ndarray  # (C,) index into _SIDES of the region's pixel that the outline goes around, or turns away from
    arriving: np.ndarray  # (C,) direction of the outline before the corner, the region on its right
    leaving: np.ndarray  # (C,) and after it


def regions(classes: np.ndarray, wanted: Sequence[int], *, min_area: int = 0) -> list[Region]:
    """Find the regions of a class map.

    Pixels that only touch at a corner do not hang together. The outlines are exact: what lies inside the outer ring and in no
    hole is the region, pixel by pixel.

    Args:
        classes: (H, W) uint8 class indices.
        wanted: class indices below 255.
        min_area: leave out regions of fewer pixels.

    Returns:
        The regions from top to bottom, by their first corner.
    """
    table = np.full(256, _OUTSIDE, np.uint8)
    table[list(wanted)] = wanted
    framed = cv2.copyMakeBorder(cv2.LUT(classes, table), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=_OUTSIDE)
    corners = _corners(framed)
    if not corners.x.size:
        return []
    following = _simple(corners, _following(corners))
    order, first = _rings(following)
    twice = corners.x * corners.y[following] - corners.x[following] * corners.y
    areas = np.add.reduceat(twice[order], first) // 2  # of a hole it is negative
    starts = order[first]
    rows, columns = np.array(_SIDES)[corners.side[starts]].T
    pixels = (corners.y[starts] + rows, corners.x[starts] + columns)
    owners = _owners(framed, pixels, areas > 0)
    sums = np.bincount(owners, weights=areas, minlength=areas.size)  # far below 2**53, so exact
    rings = np.split(np.column_stack([corners.x, corners.y]).astype(np.int32)[order], first[1:])
    holes: dict[int, list[np.ndarray]] = {}
    for ring in np.flatnonzero(areas < 0).tolist():
        holes.setdefault(int(owners[ring]), []).append(rings[ring])
    chosen = np.flatnonzero((areas > 0) & (sums >= min_area))
    indices = framed[pixels]
    return [Region(int(indices[ring]), rings[ring], tuple(holes.get(ring, ())), int(sums[ring])) for ring in chosen.tolist()]


def _corners(framed: np.ndarray) -> _Corners:
    """Find where outlines turn.

    An outline goes around a pixel that differs from both its neighbours at the corner, whatever the pixel across is: this keeps
    regions apart that only touch there. It turns away from a pixel that is like both its neighbours, if the one across is not.

    Args:
        framed: (H + 2, W + 2) uint8, the class map and one pixel of `_OUTSIDE` around it.
    """
    across, down = framed[:, 1:] != framed[:, :-1], framed[1:] != framed[:-1]
    at = np.flatnonzero((across[1:] | across[:-1]) & (down[:, 1:] | down[:, :-1]))
    y, x = np.divmod(at, framed.shape[1] - 1)
    around = np.stack([framed[y + row, x + column] for row, column in _SIDES], axis=1)
    next_differs = around != np.roll(around, -1, axis=1)
    last_differs = np.roll(next_differs, 1, axis=1)
    goes_around = next_differs & last_differs
    turns_away = ~next_differs & ~last_differs & np.roll(next_differs, -1, axis=1)
    corner, side = np.nonzero((goes_around | turns_away) & (around != _OUTSIDE))
    before, after = (side - 1) % 4, side
    goes = goes_around[corner, side]
    return _Corners(x[corner], y[corner], side, np.where(goes, before, after), np.where(goes, after, before))


def _following(corners: _Corners) -> np.ndarray:
    """(C,) index of the corner that comes after each one along its outline, which keeps to its pixel at every corner.

    On one line of the grid, the pieces of outlines that go the same way have their regions on the same side, so they do not
    overlap: the first beginning belongs to the first end, the second to the second.
    """
    following = np.empty(corners.x.size, np.int64)
    for direction in range(4):
        begins, ends = np.flatnonzero(corners.leaving == direction), np.flatnonzero(corners.arriving == direction)
        if direction % 2:  # the order of columns; that of rows they have
            begins, ends = (some[np.argsort(corners.x[some], kind="stable")] for some in (begins, ends))
        following[begins] = ends
    return following


def _simple(corners: _Corners, following: np.ndarray) -> np.ndarray:
    """`following`, changed so that a ring that would pass a point twice becomes two rings that touch there.

    Such is the ring of a region that meets itself at the corner of two pixels. By OGC Simple Features, which tools that read
    GeoJSON follow, it is invalid; a hole that touches another ring at a point is not.
    """
    order, first = _rings(following)
    ring = np.empty_like(order)
    ring[order] = np.repeat(np.arange(first.size), np.diff(first, append=order.size))
    by_ring = np.argsort(ring, kind="stable")  # and still in the order of rows
    one, other = by_ring[:-1], by_ring[1:]
    same = (ring[one] == ring[other]) & (corners.x[one] == corners.x[other]) & (corners.y[one] == corners.y[other])
    one, other = one[same], other[same]
    following[one], following[other] = following[other], following[one]
    return following


def _rings(following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners ring by ring, (C,) indices, and the position where each ring begins; each at its lowest index."""
    after = following.tolist()
    seen = bytearray(len(after))
    order: list[int] = []
    first: list[int] = []
    for corner in range(len(after)):
        if not seen[corner]:
            first.append(len(order))
        while not seen[corner]:
            seen[corner] = 1
            order.append(corner)
            corner = after[corner]
    return np.array(order), np.array(first)


def _owners(framed: np.ndarray, pixels: tuple[np.ndarray, np.ndarray], outer: np.ndarray) -> np.ndarray:
    """(R,) index of the outer ring of the region of each ring, of which one pixel is given."""
    owners = np.arange(outer.size)
    indices = framed[pixels]
    for index in np.unique(indices[~outer]).tolist():
        _, labels = cv2.connectedComponents((framed == index).view(np.uint8), connectivity=4)
        rings = np.flatnonzero(indices == index)
        parts = labels[pixels[0][rings], pixels[1][rings]]
        owner_of = np.empty(parts.max() + 1, np.int64)
        owner_of[parts[outer[rings]]] = rings[outer[rings]]
        owners[rings] = owner_of[parts]
    return owners


def fill(rings: Sequence[np.ndarray], size_hw: tuple[int, int]) -> np.ndarray:
    """Find the pixels inside rings, by the even-odd rule: what lies inside two of them is outside.

    Args:
        rings: each (N, 2) x, y of its points, integers or floats; they may lie outside the picture.
        size_hw: of the picture.

    Returns:
        (H, W) bool, true where the middle of the pixel lies inside.
    """
    height, width = size_hw
    toggles = np.zeros((height, width + 1), np.uint8)
    for ring in rings:
        x0, y0 = np.asarray(ring, np.float64).T
        x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
        top, bottom = (np.clip(np.ceil(edge(y0, y1) - 0.5), 0, height).astype(np.int64) for edge in (np.minimum, np.maximum))
        lengths = bottom - top  # rows whose middle the edge crosses
        edges = np.repeat(np.arange(x0.size), lengths)
        rows = top[edges] + np.arange(edges.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        slopes = (x1 - x0)[edges] / (y1 - y0)[edges]
        columns = np.ceil(x0[edges] + (rows + 0.5 - y0[edges]) * slopes - 0.5)
        np.add.at(toggles, (rows, np.clip(columns, 0, width).astype(np.int64)), 1)
    return np.bitwise_xor.accumulate(toggles & 1, axis=1)[:, :width].astype(bool)
