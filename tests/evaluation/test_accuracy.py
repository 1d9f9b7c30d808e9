import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.base.errors import DataError
from icnet.base.sample import Sample
from icnet.evaluation.accuracy import evaluate


class Fixed:
    """A network that answers with one class map, whatever it sees."""

    output = "index"
    size_hw = (720, 960)
    classes = CAMVID

    def __init__(self, quarters: list[list[int]]):
        self._map = np.kron(np.array(quarters), np.ones((360, 480), np.int32))[np.newaxis].astype(np.int32)
        self.seen: list[tuple[int, ...]] = []

    def infer(self, data: np.ndarray) -> np.ndarray:
        self.seen.append(data.shape)
        return self._map


def sample(quarters: list[list[int]]) -> Sample:
    labels = np.kron(np.array(quarters, np.uint8), np.ones((180, 240), np.uint8))
    return Sample("s", np.zeros((360, 480, 3), np.uint8), labels)


def test_known_answer_by_both_rules():
    # Quarters of 172,800 pixels. Truth: sky, road / road, unlabelled. Prediction: sky, road / unlabelled, sky.
    network = Fixed([[0, 3], [11, 0]])
    result = evaluate([sample([[0, 3], [3, 11]])], network)
    assert network.seen == [(1, 720, 960, 3)]
    assert result.images == 1
    assert result.confusion.sum() == 720 * 960
    assert result.confusion[0, 0] == 172_800
    assert result.confusion[3, 11] == 172_800
    assert result.confusion[11, 0] == 172_800
    assert result.scores.iou["Sky"] == 1  # what is predicted on unlabelled pixels does not count
    assert result.scores.iou["Road"] == 0.5  # one of its two quarters was called unlabelled
    assert result.scores.miou_strict == 0.75
    assert result.scores.miou_omz == 1
    assert result.scores.pixel_accuracy == pytest.approx(2 / 3)


def test_one_matrix_over_all_images():
    # Sky is right in one quarter of the first image and nowhere in the second: 1 / (1 + 4), not the mean of 1 and 0.
    network = Fixed([[0, 3], [3, 3]])
    result = evaluate([sample([[0, 3], [3, 3]]), sample([[0, 0], [0, 0]])], network)
    assert result.images == 2
    assert result.scores.iou["Sky"] == pytest.approx(2 / 5)
    assert result.scores.iou["Road"] == pytest.approx(3 / 6)


def test_truth_is_resized_to_the_nearest_class():
    # A border between class 0 and 2 must not invent class 1.
    labels = np.zeros((90, 120), np.uint8)
    labels[:, 61:] = 2
    result = evaluate([Sample("s", np.zeros((90, 120, 3), np.uint8), labels)], Fixed([[0, 2], [0, 2]]))
    assert set(np.flatnonzero(result.confusion.sum(axis=1))) == {0, 2}
    assert result.confusion[0].sum() == 720 * 61 * 8


class Sure(Fixed):
    """As `Fixed`, with probabilities: `sure` for its answer, the rest for the next class."""

    output = "soft"

    def __init__(self, quarters: list[list[int]], sure: float):
        super().__init__(quarters)
        answers = np.eye(12, dtype=np.float32)[self._map[0]]
        self._map = (sure * answers + (1 - sure) * np.roll(answers, 1, axis=-1)).transpose(2, 0, 1)[np.newaxis]


def test_calibration_counts_labelled_pixels_before_any_abstains():
    truth, network = sample([[0, 3], [3, 11]]), Sure([[0, 3], [5, 0]], 0.8)
    for abstain in (0.0, 0.9):
        result = evaluate([truth], network, abstain=abstain)
        assert result.reliability.pixels.sum() == 3 * 172_800
        assert result.reliability.error == pytest.approx(0.8 - 2 / 3, abs=0.01)  # borders between quarters are blended
    assert result.scores.given_up == 1
    assert evaluate([truth], Fixed([[0, 3], [5, 0]])).reliability is None


def test_what_each_picture_has_part_in_adds_up():
    network = Fixed([[0, 3], [3, 3]])
    result = evaluate([sample([[0, 3], [3, 3]]), sample([[0, 0], [0, 11]])], network)
    assert len(result.tally) == 2
    expected = [result.scores.iou[name] for name in result.scores.iou]
    np.testing.assert_allclose(result.tally.iou(), expected)
    np.testing.assert_allclose(result.tally.per_picture(), [1, 1 / 3])
    assert 0.99 < evaluate([sample([[0, 3], [3, 3]])], network).boundary[0] <= 1


def test_no_images():
    with pytest.raises(DataError, match="no images"):
        evaluate([], Fixed([[0, 0], [0, 0]]))
