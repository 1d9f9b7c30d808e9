import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.evaluation.scores import confusion_matrix, scores

VOID = 11


def matrix(cells: dict[tuple[int, int], int]) -> np.ndarray:
    counts = np.zeros((len(CAMVID.names), len(CAMVID.names)), np.int64)
    for cell, pixels in cells.items():
        counts[cell] = pixels
    return counts


def test_confusion_counts_truth_in_rows():
    truth = np.array([[0, 0, 1], [2, 2, 2]], np.uint8)
    predicted = np.array([[0, 1, 1], [2, 0, 0]], np.uint8)
    expected = [[1, 1, 0], [0, 1, 0], [2, 0, 1]]
    np.testing.assert_array_equal(confusion_matrix(truth, predicted, 3), expected)


def test_confusion_equals_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    truth, predicted = generator.integers(0, 12, (2, 90, 120)).astype(np.uint8)
    found = confusion_matrix(truth, predicted, 12)
    np.testing.assert_array_equal(found, metrics.confusion_matrix(truth.ravel(), predicted.ravel(), labels=range(12)))
    assert found.dtype == np.int64


def test_uint8_indices_do_not_overflow():
    # 11 * 12 + 11 is within uint8, 255 classes are not.
    assert confusion_matrix(np.uint8([254]), np.uint8([254]), 255)[254, 254] == 1


@pytest.mark.parametrize(
    ("truth", "predicted", "text"),
    [([0, 1], [0], "shape"), ([0, 12], [0, 0], "truth"), ([0, 0], [0, 12], "predicted"), ([0, 0], [-1, 0], "predicted")],
)
def test_confusion_refuses_what_it_cannot_count(truth, predicted, text):
    with pytest.raises(ValueError, match=text):
        confusion_matrix(np.array(truth), np.array(predicted), 12)


def test_hand_computed_case_by_both_rules():
    # Sky:  6 right, 2 called road, 2 called void.   Road: 3 right, 1 called sky.   Void pixels: 5, called sky.
    found = scores(matrix({(0, 0): 6, (0, 3): 2, (0, VOID): 2, (3, 3): 3, (3, 0): 1, (VOID, 0): 5}), CAMVID)
    assert found.iou["Sky"] == pytest.approx(6 / 11)  # 6 + (2 + 2) missed + 1 false; the 5 void pixels count nowhere
    assert found.iou["Road"] == pytest.approx(3 / 6)
    assert found.miou_strict == pytest.approx((6 / 11 + 3 / 6) / 2)
    assert found.miou_omz == pytest.approx((6 / 9 + 3 / 6) / 2)  # the 2 sky pixels called void are forgiven
    assert found.pixel_accuracy == pytest.approx(9 / 14)
    assert found.given_up == pytest.approx(2 / 14)
    assert found.void_found == 0
    assert scores(matrix({(0, 0): 1, (VOID, 0): 5, (VOID, VOID): 3}), CAMVID).void_found == pytest.approx(3 / 8)


def test_absent_classes_leave_the_mean_alone():
    found = scores(matrix({(0, 0): 4, (3, 3): 1}), CAMVID)
    assert found.miou_strict == found.miou_omz == 1
    assert np.isnan(found.iou["Bike"])
    assert "Unlabeled" not in found.iou
    assert list(found.iou) == list(CAMVID.names[:11])


def test_a_class_that_is_only_predicted_is_absent_and_costs_the_true_class():
    found = scores(matrix({(0, 0): 4, (0, 5): 4}), CAMVID)
    assert "Tree" in found.absent
    assert "Sky" not in found.absent
    assert found.miou_strict == found.miou_omz == 0.5


def test_a_class_of_which_everything_is_given_up_stays_in_the_means():
    found = scores(matrix({(0, 0): 4, (3, VOID): 4, (0, 3): 4}), CAMVID)
    assert found.miou_omz == found.miou_strict == 0.25


def test_nothing_labelled():
    found = scores(matrix({(VOID, 0): 9}), CAMVID)
    assert np.isnan([found.miou_strict, found.miou_omz, found.pixel_accuracy, found.given_up]).all()


def test_iou_equals_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 12, 20_000)
    predicted = np.where(generator.random(20_000) < 0.6, truth, generator.integers(0, 12, 20_000))
    found = scores(confusion_matrix(truth, predicted, 12), CAMVID)
    labelled = truth != VOID
    strict = metrics.jaccard_score(truth[labelled], predicted[labelled], labels=range(11), average=None)
    np.testing.assert_allclose(list(found.iou.values()), strict)
    assert found.miou_strict == pytest.approx(strict.mean())
    both = labelled & (predicted != VOID)
    omz = metrics.jaccard_score(truth[both], predicted[both], labels=range(11), average="macro")
    assert found.miou_omz == pytest.approx(omz)
    assert found.pixel_accuracy == pytest.approx(metrics.accuracy_score(truth[labelled], predicted[labelled]))
