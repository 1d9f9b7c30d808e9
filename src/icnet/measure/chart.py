"""Times as a bar chart, drawn with OpenCV."""

from pathlib import Path

import cv2
import numpy as np

from icnet.evaluation.charts import check_picture, write_picture, write_text

_ROW, _MARGIN, _NAMES, _BARS, _LABELS = 44, 20, 240, 520, 200
_BAR, _BEST = (180, 130, 70), (60, 140, 40)
"""BGR; the fastest one is green."""


def draw_speeds(title: str, bars: list[tuple[str, float, str]]) -> np.ndarray:
    """Draw horizontal bars from zero.

    Args:
        title: a line above them.
        bars: name, value and label of each; at least one.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    canvas = np.full((3 * _MARGIN + _ROW * len(bars) + _ROW // 2, 2 * _MARGIN + _NAMES + _BARS + _LABELS, 3), 255, np.uint8)
    write_text(canvas, title, (_MARGIN, _MARGIN + 4), centred=False)
    values = [value for _, value, _ in bars]
    for row, (name, value, label) in enumerate(bars):
        middle = 2 * _MARGIN + _ROW // 2 + _ROW * row + _ROW // 2
        left, right = _MARGIN + _NAMES, _MARGIN + _NAMES + max(1, round(_BARS * value / max(values)))
        colour = _BEST if value == min(values) else _BAR
        cv2.rectangle(canvas, (left, middle - _ROW // 3), (right, middle + _ROW // 3), colour, cv2.FILLED)
        write_text(canvas, name, (_MARGIN, middle), centred=False)
        write_text(canvas, label, (right + 8, middle), centred=False)
    return canvas


def save_speeds(path: Path, title: str, bars: list[tuple[str, float, str]]) -> None:
    """Write `draw_speeds` to an image file whose suffix chooses the format.

    Raises:
        UsageError: OpenCV cannot write that format.
        OutputError: the file cannot be written.
    """
    check_picture(path)
    write_picture(draw_speeds(title, bars), path)
