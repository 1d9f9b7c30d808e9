"""Class colours blended over a frame, and a legend of the classes that are present."""

from collections.abc import Sequence

import cv2
import numpy as np

from icnet.base.classes import Classes

OPACITY = 0.55
"""How much of the class colour covers the frame unless told otherwise."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PANEL_OPACITY = 0.7
_TEXT = _BORDER = (255, 255, 255)


def class_counts(classes: np.ndarray, count: int) -> np.ndarray:
    """Pixels of each of `count` classes in a class map, (H, W) uint8: (count,) integers. Four times as fast as `np.bincount`."""
    counts = cv2.calcHist([classes], [0], None, [count], [0, count])
    return counts[:, 0].astype(np.int64)


def class_shares(classes: np.ndarray, table: Classes) -> dict[str, float]:
    """Class name to its fraction of the pixels of a class map, at least one; all of the table, which sum to 1."""
    counts = class_counts(classes, len(table))
    return {name: int(count) / classes.size for name, count in zip(table.names, counts, strict=True)}


def colour_map(classes: np.ndarray, palette_rgb: np.ndarray) -> np.ndarray:
    """Paint a class map, (H, W) uint8 class indices, in the (N, 3) uint8 colours of a palette: (H, W, 3) uint8 BGR.

    Indices without a colour become black.
    """
    lookup = np.zeros((256, 1, 3), np.uint8)  # what cv2.applyColorMap wants; ten times as fast as NumPy indexing
    lookup[: len(palette_rgb), 0] = palette_rgb[:, ::-1]
    return cv2.applyColorMap(classes, lookup)


def draw_overlay(
    frame_bgr: np.ndarray,
    classes: np.ndarray,
    table: Classes,
    *,
    opacity: float = OPACITY,
    legend: bool = True,
    palette_rgb: np.ndarray | None = None,
    only: Sequence[int] | None = None,
) -> np.ndarray:
    """Blend the class colours over a frame.

    Args:
        frame_bgr: (H, W, 3) uint8 BGR.
        classes: (H, W) uint8 class indices.
        table: what they mean.
        opacity: 0 shows only the frame, 1 only the colours.
        legend: name the classes that are present, in the top left corner; left out where it would hide most of a small frame.
        palette_rgb: (N, 3) uint8; that of the table if not given.
        only: class indices to show; elsewhere the frame stays as it is. All if not given.

    Returns:
        (H, W, 3) uint8 BGR, a new array.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must lie between 0 and 1, not {opacity}")
    palette_rgb = table.palette_rgb if palette_rgb is None else palette_rgb
    picture = colour_map(classes, palette_rgb)
    cv2.addWeighted(picture, opacity, frame_bgr, 1 - opacity, 0, dst=picture)
    if only is not None:
        others = np.full(256, 255, np.uint8)
        others[list(only)] = 0
        cv2.copyTo(frame_bgr, cv2.LUT(classes, others), picture)
    if legend:
        counts = class_counts(classes, len(table))
        present = [int(index) for index in np.flatnonzero(counts) if only is None or index in only]
        if present:
            _draw_legend(picture, [table.names[index] for index in present], palette_rgb[present])
    return picture


def _draw_legend(picture: np.ndarray, names: list[str], colours_rgb: np.ndarray) -> None:
    """Draw one row per class on a dark panel; nothing where a panel would hide most of the picture."""
    height, width = picture.shape[:2]
    scale = min(max(min(height, width) / 1000, 0.4), 2.0)  # Hershey letters are about 21 pixels high at scale 1
    thickness = max(1, round(scale * 1.6))
    row, gap = round(40 * scale), round(14 * scale)
    text_width = max(cv2.getTextSize(name, _FONT, scale, thickness)[0][0] for name in names)
    swatch = round(26 * scale)
    panel_width, panel_height = text_width + swatch + 3 * gap, row * len(names) + gap
    if panel_width > width * 0.6 or panel_height > height:
        return
    panel = picture[:panel_height, :panel_width]
    panel[:] = (panel * (1 - _PANEL_OPACITY)).astype(np.uint8)
    for position, (name, colour) in enumerate(zip(names, colours_rgb, strict=True)):
        middle = gap // 2 + row * position + row // 2
        corner, opposite = (gap, middle - swatch // 2), (gap + swatch, middle + swatch // 2)
        cv2.rectangle(picture, corner, opposite, colour[::-1].tolist(), cv2.FILLED)
        cv2.rectangle(picture, corner, opposite, _BORDER, 1)  # dark classes would vanish on the dark panel
        origin = (2 * gap + swatch, middle + round(10 * scale))
        cv2.putText(picture, name, origin, _FONT, scale, _TEXT, thickness, cv2.LINE_AA)
