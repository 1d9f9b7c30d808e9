"""A confusion matrix as a picture, drawn with OpenCV."""

from pathlib import Path

import cv2
import numpy as np

from icnet.base.classes import NAMES
from icnet.base.errors import UsageError
from icnet.base.files import write_bytes

_CELL = 64
_MARGIN = 130
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK = (40, 40, 40)
_DARK = 0.55
"""From this share on a cell is so dark that its figure is written in white."""


def draw_confusion(matrix: np.ndarray) -> np.ndarray:
    """Draw a confusion matrix, each row as shares of its true class in percent.

    Args:
        matrix: (12, 12) integer pixels, rows are truth.

    Returns:
        (H, W, 3) uint8 BGR. A row without pixels shows no figures.
    """
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    side = _MARGIN + _CELL * len(NAMES) + 20
    canvas = np.full((side, side, 3), 255, np.uint8)
    write_text(canvas, "rows: truth, columns: prediction, % of the row", (_MARGIN, 24), centred=False)
    for index, name in enumerate(NAMES):
        middle = _MARGIN + _CELL * index + _CELL // 2
        write_text(canvas, name, (_MARGIN // 2, middle))
        # Every other column name sits higher: side by side they would run into each other.
        write_text(canvas, name, (middle, _MARGIN - (20 if index % 2 else 50)))
    for row, column in np.ndindex(shares.shape):
        _cell(canvas, row, column, float(shares[row, column]), empty=not totals[row, 0])
    return canvas


def check_picture(path: Path) -> None:
    """Refuse a file name whose suffix OpenCV has no image format for.

    Raises:
        UsageError: so that a long evaluation need not end with it.
    """
    if not cv2.haveImageWriter(str(path)):
        raise UsageError(f"no image format for the name {path.name!r}: give the picture a name that ends in .png")


def save_confusion(matrix: np.ndarray, path: Path) -> None:
    """Write `draw_confusion` to an image file whose suffix chooses the format.

    Raises:
        UsageError: OpenCV cannot write that format.
        OutputError: the file cannot be written.
    """
    check_picture(path)
    write_picture(draw_confusion(matrix), path)


def write_picture(picture: np.ndarray, path: Path) -> None:
    """Write (H, W, 3) uint8 BGR in the format of the suffix, which `check_picture` accepts.

    Raises:
        OutputError: the file cannot be written.
    """
    _, data = cv2.imencode(path.suffix, picture)
    write_bytes(path, data.tobytes())


def _cell(canvas: np.ndarray, row: int, column: int, share: float, *, empty: bool) -> None:
    top, left = _MARGIN + _CELL * row, _MARGIN + _CELL * column
    wanted = np.array((60, 140, 40) if row == column else (50, 50, 200))  # right is green, wrong is red (BGR)
    colour = 255 + (wanted - 255) * share
    cv2.rectangle(canvas, (left, top), (left + _CELL, top + _CELL), tuple(map(float, colour)), cv2.FILLED)
    cv2.rectangle(canvas, (left, top), (left + _CELL, top + _CELL), (225, 225, 225), 1)
    if not empty:
        ink = (255, 255, 255) if share >= _DARK else _INK
        write_text(canvas, f"{100 * share:.1f}", (left + _CELL // 2, top + _CELL // 2), ink)


def write_text(
    canvas: np.ndarray, text: str, at: tuple[int, int], ink: tuple[int, int, int] = _INK, *, centred: bool = True
) -> None:
    """Write a line whose middle is at the height of `at`, and which begins there unless `centred`."""
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.45, 1)
    shift = width // 2 if centred else 0
    cv2.putText(canvas, text, (at[0] - shift, at[1] + height // 2), _FONT, 0.45, ink, 1, cv2.LINE_AA)
