from pathlib import Path

import cv2
import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.base.errors import OutputError, UsageError
from icnet.evaluation.charts import _BAR, _RIGHT, draw_confusion, draw_times, drawable, save


def figures(chart) -> dict[tuple[int, int], str]:
    """Row and column to what is written in the cell."""
    return {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in chart.axes[0].texts}


def test_confusion_shows_shares_of_the_truth():
    matrix = np.zeros((12, 12), np.int64)
    matrix[0, 0] = 7
    matrix[3, 4], matrix[3, 3] = 750_000, 250_000
    chart = draw_confusion(matrix, CAMVID)
    shown = figures(chart)
    assert (shown[0, 0], shown[3, 4], shown[3, 3], shown[3, 0]) == ("100.0", "75.0", "25.0", "0.0")
    assert {row for row, _ in shown} == {0, 3}, "rows without pixels show no figures"
    image = chart.axes[0].images[0]
    red, green, blue, _ = image.to_rgba(image.get_array())[3].T
    assert red[4] > max(green[4], blue[4]) + 0.2
    assert green[3] > max(red[3], blue[3]) + 0.05
    assert min(red[0], green[0], blue[0]) > 0.99


def test_bars_are_as_long_as_their_values():
    axes = draw_times("title", [("a", 200.0, "200 ms"), ("b", 50.0, "50 ms")]).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [200, 50]
    assert axes.get_xlim()[0] == 0
    assert [bar.get_facecolor()[:3] for bar in axes.patches] == [
        tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)) for colour in (_BAR, _RIGHT)
    ], "the fastest one is green"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_saved_in_the_format_of_the_suffix(tmp_path, suffix):
    path = tmp_path / "new" / f"confusion{suffix}"
    assert drawable(path, pytest.fail)
    save(draw_confusion(np.eye(12, dtype=np.int64), CAMVID), path)
    assert cv2.imread(str(path)).shape == (900, 900, 3)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"):
        save(draw_confusion(np.eye(12, dtype=np.int64), CAMVID), tmp_path / "file" / "confusion.png")


def test_refuses_an_unknown_format():
    with pytest.raises(UsageError, match=r"\.png"):
        drawable(Path("confusion.xyz"), pytest.fail)
