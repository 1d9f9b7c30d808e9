import numpy as np
import pytest

from icnet.base.classes import Classes
from icnet.evaluation.comparison import compare
from icnet.evaluation.interval import LEAST, draws, miou_interval
from icnet.evaluation.scores import present_mean as mean
from icnet.evaluation.tally import Tally, counts

TABLE = Classes(("road", "sky", "none", "tree"), void=2)


def matrix(**cells: int) -> np.ndarray:
    """Pixels by `truth_prediction`, in indices."""
    counts = np.zeros((4, 4), np.int64)
    for name, pixels in cells.items():
        counts[int(name[1]), int(name[2])] = pixels
    return counts


def tally_of(names, matrices) -> Tally:
    return Tally.of(tuple(names), [counts(one, TABLE) for one in matrices])


FIRST = matrix(c00=6, c01=2, c02=2, c11=3, c20=5)
"""Ten pixels of road: 6 right, 2 called sky, 2 called none. Three of sky, all right. Five without a label, called road."""
SECOND = matrix(c00=4, c03=4)


def test_iou_by_hand():
    tally = tally_of(["a", "b"], [FIRST, SECOND])
    # Road: 10 of 10 + 8; sky: 3 of 3 + 2 false; tree is only found, never there.
    np.testing.assert_allclose(tally.iou(), [10 / 18, 3 / 5, np.nan])
    np.testing.assert_allclose(tally.iou(np.array([[1, 0], [0, 2]])), [[6 / 10, 3 / 5, np.nan], [4 / 8, np.nan, np.nan]])
    np.testing.assert_allclose(tally.per_picture(), [(6 / 10 + 3 / 5) / 2, 4 / 8])
    assert np.isnan(mean(tally_of(["a"], [matrix(c20=3)]).iou()))


@pytest.mark.parametrize(
    ("names", "sequences"),
    [
        (("0016E5_07959", "0016E5_07961", "Seq05VD_f00000"), [0, 0, 1]),
        (("bonn_000001_000019_leftImg8bit", "bonn_000001_000020_leftImg8bit", "bonn_000002_000019_leftImg8bit"), [0, 0, 1]),
        (("one/000001", "two/000001", "two/000002"), [0, 1, 1]),
        (("0001", "0002", "mine"), [0, 1, 2]),
    ],
)
def test_names_tell_drives_apart(names, sequences):
    assert tally_of(names, [FIRST] * 3).sequences().tolist() == sequences


def test_the_interval_holds_the_figure_and_is_the_same_every_time():
    matrices = [matrix(c00=size, c01=10 - size, c11=9, c10=1) for size in range(1, 10)] * 4
    tally = tally_of([f"{index}" for index in range(36)], matrices)
    found = miou_interval(tally)
    assert found == miou_interval(tally)
    assert (found.over, found.units) == ("pictures", 36)
    assert found.low < mean(tally.iou()) < found.high
    same = miou_interval(tally_of([f"{index}" for index in range(36)], [FIRST] * 36))
    assert same.low == same.high == pytest.approx((6 / 10 + 3 / 5) / 2)
    # The mean of K independent shares: its spread falls with the root of their number.
    more = miou_interval(tally_of([f"{index}" for index in range(144)], matrices * 4))
    assert (found.high - found.low) / (more.high - more.low) == pytest.approx(2, rel=0.15)


def test_whole_drives_are_drawn_where_there_are_enough():
    # Frames of a drive are alike, so drawn one by one they promise too much.
    drives = [[matrix(c00=drive, c01=10 - drive)] * 10 for drive in range(1, LEAST + 1)]
    matrices = [one for drive in drives for one in drive]
    named = tally_of([f"d{number // 10}_{number:04}" for number in range(80)], matrices)
    nameless = tally_of([f"{number:04}" for number in range(80)], matrices)
    over, units, parts = draws(named)
    assert (over, units) == ("sequences", LEAST)
    times = next(parts)
    assert (times.reshape(-1, LEAST, 10) == times[:, ::10, None]).all()
    assert (times.sum(axis=1) == 80).all()
    wide, narrow = miou_interval(named), miou_interval(nameless)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_a_model_against_another():
    names = [f"{index}" for index in range(20)]
    better = [matrix(c00=8 + index % 2, c01=1, c11=5, c10=5) for index in range(20)]
    worse = [matrix(c00=5, c01=4 + index % 2, c11=5, c10=5) for index in range(19)] + [matrix(c00=20, c11=20)]
    first, second = tally_of(names, better), tally_of(names, worse)
    found = compare(first, second)
    assert found.miou.difference == pytest.approx(mean(first.iou()) - mean(second.iou()))
    road, sky, tree = found.classes
    assert road.sure
    assert road.interval.low > 0
    assert not sky.sure
    assert np.isnan([tree.difference, tree.interval.low]).all()
    assert [name for name, _ in found.worse] == ["19"]
    assert found.worse[0][1] == pytest.approx(first.per_picture()[19] - 1)
    assert len(found.better) == 10
    again = compare(second, first)
    assert again.miou.difference == -found.miou.difference
    assert again.miou.interval.low == pytest.approx(-found.miou.interval.high)
    with pytest.raises(ValueError, match="same pictures"):
        compare(first, tally_of(["x"] * 20, worse))


def test_two_equal_models_do_not_differ():
    tally = tally_of(["0", "1"], [FIRST, SECOND])
    found = compare(tally, tally)
    assert (found.miou.difference, found.miou.interval.low, found.miou.interval.high) == (0, 0, 0)
    assert not found.miou.sure
    assert found.better == found.worse == ()
