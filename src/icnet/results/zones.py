"""Named parts of the picture, and what the classes take of each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from icnet.base.classes import Classes
from icnet.base.errors import UsageError
from icnet.results.polygons import fill
from icnet.runtime.overlay import class_shares

_EXPECTED = 'expected {"name": [[x, y], [x, y], [x, y], ...], ...}'
_MAX_BYTES = 1_000_000
_MAX_NAME = 100
_MAX_COORDINATE = 1e6
"""Far outside every picture, and near enough to calculate with."""


class Zones:
    """Polygons with names.

    A pixel belongs to a zone if its middle lies inside; where an outline crosses itself, by the even-odd rule.

    Attributes:
        names: of the zones, in the order of the file.
    """

    def __init__(self, polygons: Mapping[str, np.ndarray]) -> None:
        """Take the zones.

        Args:
            polygons: name to (N, 2) x, y in pixels of the picture, from its top left corner; or in fractions of its width and
                height, if no coordinate of any zone lies outside 0 to 1.
        """
        self.names = tuple(polygons)
        self._polygons = polygons
        self._fractions = all(((polygon >= 0) & (polygon <= 1)).all() for polygon in polygons.values())
        self._size_hw = (0, 0)
        self._areas: dict[str, tuple[tuple[slice, slice], np.ndarray]] = {}

    def shares(self, classes: np.ndarray, table: Classes) -> dict[str, dict[str, float] | None]:
        """What the classes of a class map, (H, W) uint8, take of each zone.

        Returns:
            Zone to class name to its fraction of the zone's pixels, all of the table; None for a zone without a pixel there.
        """
        if self._size_hw != classes.shape:
            height, width = classes.shape
            self._size_hw = (height, width)
            self._areas = {name: self._area(polygon) for name, polygon in self._polygons.items()}
        inside = {name: classes[window][mask] for name, (window, mask) in self._areas.items()}
        return {name: class_shares(pixels, table) if pixels.size else None for name, pixels in inside.items()}

    def _area(self, polygon: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray]:
        """The part of the picture around a polygon, and which of its pixels are inside."""
        height, width = self._size_hw
        points = polygon * (width, height) if self._fractions else polygon
        left, top = np.clip(np.floor(points.min(axis=0)), 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(points.max(axis=0)), 0, (width, height)).astype(int)
        mask = fill([points - (left, top)], (bottom - top, right - left))
        return (slice(top, bottom), slice(left, right)), mask


def read_zones(path: Path) -> Zones:
    """Read zones from a JSON file: an object of names, each with its polygon as a list of at least three [x, y].

    Coordinates are pixels of the picture, x to the right and y down from its top left corner. If none in the file lies outside 0
    to 1, they are fractions of the width and height.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    document = _read(path)
    if not isinstance(document, dict) or not document:
        raise UsageError(f"{path} holds no zones: {_EXPECTED}")
    return Zones({name: _polygon(path, name, points) for name, points in document.items()})


def _read(path: Path) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise UsageError(f"{path} has two zones of the same name: give each its own")
        return found

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise UsageError(f"{path} is larger than {_MAX_BYTES // 10**6} MB: {_EXPECTED}")
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique)
    except OSError as error:
        raise UsageError(f"cannot read the zones in {path}: {error.strerror or error}; name a file that can be read") from error
    except (ValueError, RecursionError) as error:  # also bytes that are no text, and numbers of thousands of digits
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise UsageError(f"{path} is not JSON ({reason}): {_EXPECTED}") from error


def _polygon(path: Path, name: str, points: Any) -> np.ndarray:
    """The (N, 2) float64 points of a zone.

    Raises:
        UsageError: its name or a point is of no use.
    """
    if not name.strip() or not name.isprintable() or len(name) > _MAX_NAME:
        raise UsageError(
            f"{path}: the zone name {name[:_MAX_NAME]!r} cannot be used: expected 1 to {_MAX_NAME} printable characters"
        )
    if not isinstance(points, list) or len(points) < 3:
        raise UsageError(f"{path}: zone {name!r} is no polygon: expected at least three points, [[x, y], [x, y], [x, y], ...]")
    for number, point in enumerate(points, 1):
        if not (isinstance(point, list) and len(point) == 2 and all(map(_is_coordinate, point))):
            raise UsageError(
                f"{path}: point {number} of zone {name!r} is of no use: expected [x, y], two numbers in pixels or, "
                "in the whole file, in fractions of the width and height"
            )
    return np.array(points, np.float64)


def _is_coordinate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_COORDINATE  # NaN is not
