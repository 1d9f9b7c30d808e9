import cv2
import numpy as np
import pytest

from icnet.base.errors import UsageError
from icnet.evaluation.charts import draw_confusion, save_confusion


def dominant(picture: np.ndarray, row: int, column: int) -> tuple[int, ...]:
    """Colour of a cell's corner, away from its figure (BGR)."""
    return tuple(int(value) for value in picture[130 + 64 * row + 6, 130 + 64 * column + 6])


def test_rows_are_normalised_and_errors_are_red():
    matrix = np.zeros((12, 12), np.int64)
    matrix[0, 0] = 7  # all right
    matrix[3, 4] = 1_000_000  # all wrong
    picture = draw_confusion(matrix)
    assert picture.dtype == np.uint8
    blue, green, red = dominant(picture, 0, 0)
    assert green > max(red, blue) + 50
    blue, green, red = dominant(picture, 3, 4)
    assert red > max(green, blue) + 50
    assert dominant(picture, 4, 3) == (255, 255, 255), "rows are truth: the transposed cell stays empty"


def test_saved_picture_is_the_drawn_one(tmp_path):
    matrix = np.eye(12, dtype=np.int64)
    path = tmp_path / "new" / "confusion.png"
    save_confusion(matrix, path)
    np.testing.assert_array_equal(cv2.imread(str(path)), draw_confusion(matrix))


def test_refuses_an_unknown_format(tmp_path):
    with pytest.raises(UsageError, match=r"\.png"):
        save_confusion(np.eye(12, dtype=np.int64), tmp_path / "confusion.xyz")
    assert not list(tmp_path.iterdir())
