"""What results look like: which classes they show, and in which colours."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from icnet.base.classes import OUTSIDE, Classes, Colour
from icnet.base.errors import UsageError
from icnet.runtime.overlay import OPACITY, colour_map, draw_overlay
from icnet.runtime.segmenter import Segmentation


@dataclass(frozen=True, eq=False)
class Style:
    """How a segmentation becomes pictures, polygons and numbers."""

    table: Classes
    """Of the model; colours may differ from the model's."""
    some: tuple[int, ...] | None = None
    """Class indices to show; all if not given."""
    min_area: int = 0
    """Pixels below which a region becomes no polygon and no run-length mask."""

    @property
    def only(self) -> tuple[int, ...]:
        """Class indices to show."""
        return tuple(range(len(self.table))) if self.some is None else self.some

    @property
    def palette_rgb(self) -> np.ndarray:
        """(N, 3) uint8, for every index that `classes` gives."""
        if self.table.void is not None or self.some is None:
            return self.table.palette_rgb
        return np.pad(self.table.palette_rgb, [(0, OUTSIDE + 1 - len(self.table)), (0, 0)])

    @property
    def outlined(self) -> tuple[int, ...]:
        """Classes that become polygons: what the network could not name only if it is asked for by name."""
        return self.table.scored if self.some is None else self.some

    def classes(self, segmentation: Segmentation) -> np.ndarray:
        """(H, W) uint8 class indices; in place of classes that are not shown the one for "no label", or else `OUTSIDE`."""
        if self.some is None:
            return segmentation.classes
        shown = np.full(256, OUTSIDE if self.table.void is None else self.table.void, np.uint8)
        shown[list(self.some)] = self.some
        return cv2.LUT(segmentation.classes, shown)

    def colours(self, segmentation: Segmentation) -> np.ndarray:
        """(H, W, 3) uint8 BGR."""
        return colour_map(self.classes(segmentation), self.palette_rgb)

    def overlay(self, segmentation: Segmentation, *, opacity: float = OPACITY, legend: bool = True) -> np.ndarray:
        """(H, W, 3) uint8 BGR; see `icnet.runtime.overlay.draw_overlay`."""
        return draw_overlay(segmentation.frame, segmentation.classes, self.table, opacity=opacity, legend=legend, only=self.some)


def read_style(table: Classes, only: str | None = None, palette: Path | None = None, min_area: int = 0) -> Style:
    """Make a style of what a user gives.

    Args:
        table: classes of the model.
        only: classes to show, for `class_indices`; all if not given.
        palette: file for `read_palette`.
        min_area: pixels below which a region becomes no polygon.

    Raises:
        UsageError: a class is unknown, or the file is no palette.
    """
    some = None if only is None else class_indices(table, only)
    some = None if some is not None and len(some) == len(table) else some
    return Style(table if palette is None else recoloured(table, palette), some, min_area)


def class_indices(table: Classes, names: str) -> tuple[int, ...]:
    """Read a list of class names, separated by commas, in any case. A name may have commas itself.

    Raises:
        UsageError: one of them is unknown, or there is none.
    """
    parts, found = [name.strip() for name in names.split(",") if name.strip()], set()
    if not parts:
        raise UsageError(f"no class is named: give some of {', '.join(table.names)}, separated by commas")
    known = {",".join(part.strip() for part in name.casefold().split(",")): index for index, name in enumerate(table.names)}
    while parts:
        for count in range(len(parts), 0, -1):
            if (index := known.get(",".join(parts[:count]).casefold())) is not None:
                break
        else:
            index = table.index(parts[0])  # which says what there is
        found.add(index)
        del parts[:count]
    return tuple(sorted(found))


def recoloured(table: Classes, path: Path) -> Classes:
    """Read a palette: a JSON object of class names with `[red, green, blue]` or `"#rrggbb"`; other classes keep their colour.

    Raises:
        UsageError: it cannot be read or is no such object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read the palette {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the palette {path} is no JSON ({error}): {_PALETTE}") from error
    if not isinstance(document, dict) or not document:
        raise UsageError(f"the palette {path} is no JSON object: {_PALETTE}")
    palette = list(table.palette)
    for name, colour in document.items():
        palette[table.index(name)] = _colour(path, name, colour)
    return replace(table, palette=tuple(palette))


_PALETTE = 'expected class names with colours, such as {"Road": [128, 64, 128], "Sky": "#87ceeb"}'


def _colour(path: Path, name: str, colour: Any) -> Colour:
    if isinstance(colour, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        colour = list(bytes.fromhex(colour[1:]))
    if isinstance(colour, list) and len(colour) == 3 and all(type(part) is int and 0 <= part <= 255 for part in colour):
        return colour[0], colour[1], colour[2]
    raise UsageError(f"the colour of {name} in {path} is {json.dumps(colour)[:40]}: {_PALETTE}")
