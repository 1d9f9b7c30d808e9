"""What results look like: which classes they show, and in which colours."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from icnet.base.classes import NAMES, PALETTE_RGB, VOID
from icnet.base.errors import UsageError
from icnet.runtime.overlay import OPACITY, colour_map, draw_overlay
from icnet.runtime.segmenter import Segmentation

ALL = tuple(range(len(NAMES)))


@dataclass(frozen=True, eq=False)
class Style:
    """How a segmentation becomes pictures, polygons and numbers."""

    only: tuple[int, ...] = ALL
    """Class indices to show."""
    palette_rgb: np.ndarray = field(default_factory=lambda: PALETTE_RGB)
    """(12, 3) uint8."""
    min_area: int = 0
    """Pixels below which a region becomes no polygon and no run-length mask."""

    @property
    def outlined(self) -> tuple[int, ...]:
        """Classes that become polygons: what the network could not name only if it is asked for by name."""
        return tuple(index for index in self.only if index != VOID or self.only != ALL)

    def classes(self, segmentation: Segmentation) -> np.ndarray:
        """(H, W) uint8 class indices, with Unlabeled in place of classes that are not shown."""
        if self.only == ALL:
            return segmentation.classes
        shown = np.full(256, VOID, np.uint8)
        shown[list(self.only)] = self.only
        return cv2.LUT(segmentation.classes, shown)

    def colours(self, segmentation: Segmentation) -> np.ndarray:
        """(H, W, 3) uint8 BGR."""
        return colour_map(self.classes(segmentation), self.palette_rgb)

    def overlay(self, segmentation: Segmentation, *, opacity: float = OPACITY, legend: bool = True) -> np.ndarray:
        """(H, W, 3) uint8 BGR; see `icnet.runtime.overlay.draw_overlay`."""
        only = None if self.only == ALL else self.only
        frame, classes = segmentation.frame, segmentation.classes
        return draw_overlay(frame, classes, opacity=opacity, legend=legend, palette_rgb=self.palette_rgb, only=only)


def read_style(only: str | None = None, palette: Path | None = None, min_area: int = 0) -> Style:
    """Make a style of what a user gives.

    Args:
        only: classes to show, for `class_indices`; all if not given.
        palette: file for `read_palette`.
        min_area: pixels below which a region becomes no polygon.

    Raises:
        UsageError: a class is unknown, or the file is no palette.
    """
    return Style(
        only=ALL if only is None else class_indices(only),
        palette_rgb=PALETTE_RGB if palette is None else read_palette(palette),
        min_area=min_area,
    )


def class_indices(names: str) -> tuple[int, ...]:
    """Read a list of class names, separated by commas, in any case.

    Raises:
        UsageError: one of them is unknown, or there is none.
    """
    known = {name.lower(): index for index, name in enumerate(NAMES)}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name.lower() not in known:
            raise UsageError(f"there is no class {name}: choose among {', '.join(NAMES)}")
    if not wanted:
        raise UsageError(f"no class is named: give some of {', '.join(NAMES)}, separated by commas")
    return tuple(sorted({known[name.lower()] for name in wanted}))


def read_palette(path: Path) -> np.ndarray:
    """Read a palette: a JSON object of class names with `[red, green, blue]` or `"#rrggbb"`; other classes keep their colour.

    Returns:
        (12, 3) uint8 RGB.

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
    palette = PALETTE_RGB.copy()
    for name, colour in document.items():
        (index,) = class_indices(name.replace(",", " "))
        palette[index] = _colour(path, name, colour)
    return palette


_PALETTE = 'expected class names with colours, such as {"Road": [128, 64, 128], "Sky": "#87ceeb"}'


def _colour(path: Path, name: str, colour: Any) -> list[int]:
    if isinstance(colour, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        return list(bytes.fromhex(colour[1:]))
    if isinstance(colour, list) and len(colour) == 3 and all(type(part) is int and 0 <= part <= 255 for part in colour):
        return colour
    raise UsageError(f"the colour of {name} in {path} is {json.dumps(colour)[:40]}: {_PALETTE}")
