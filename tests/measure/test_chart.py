import numpy as np
import pytest

from icnet.base.errors import UsageError
from icnet.measure.chart import _BAR, _BARS, _BEST, draw_speeds, save_speeds


def lengths(picture: np.ndarray, colour: tuple[int, int, int]) -> set[int]:
    rows = (picture == colour).all(axis=2).sum(axis=1)
    return {int(length) for length in rows if length > 20}


def test_bars_are_as_long_as_their_values():
    picture = draw_speeds("title", [("a", 200.0, "200 ms"), ("b", 50.0, "50 ms")])
    assert max(lengths(picture, _BAR)) == pytest.approx(_BARS, abs=2)
    assert max(lengths(picture, _BEST)) == pytest.approx(_BARS / 4, abs=2)


def test_saves_in_the_format_of_the_suffix(tmp_path):
    save_speeds(tmp_path / "speeds.png", "title", [("a", 1.0, "x")])
    assert (tmp_path / "speeds.png").read_bytes()[1:4] == b"PNG"
    with pytest.raises(UsageError, match="png"):
        save_speeds(tmp_path / "speeds.xyz", "title", [("a", 1.0, "x")])
