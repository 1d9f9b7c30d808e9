import keras
import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.training.losses import (
    DistilledLoss,
    Hard,
    SegmentationLoss,
    class_weights,
    distillation_loss,
    hard_cells,
    jaccard_loss,
    soft_targets,
)

VOID = 11


LEARNT = np.array([1] * 11 + [0], np.float32)
"""Weights of the classes when void tells nothing."""


def _counts(labels) -> np.ndarray:
    """Class counts of cells that are each of one class; -1 for one outside of the picture."""
    return np.concatenate([np.eye(12), np.zeros((1, 12))]).astype(np.uint8)[np.array(labels)] * 16


def _loss(labels, logits, weights=LEARNT, **terms) -> float:
    return float(SegmentationLoss(weights, CAMVID, **terms).call(_counts(labels), logits))


def _one_hot_logits(classes, strength: float) -> np.ndarray:
    return (np.eye(12, dtype=np.float32)[classes] * strength).astype(np.float32)


def test_uniform_logits_cost_log_of_twelve():
    labels = np.full((1, 4, 4), 3)
    assert _loss(labels, np.zeros((1, 1, 1, 12), np.float32)) == pytest.approx(np.log(12), rel=1e-5)


def test_hand_computed_pair_of_pixels():
    labels = np.array([[[0, 1]]], np.int32)
    logits = np.zeros((1, 1, 2, 12), np.float32)
    logits[0, 0, 0, 0] = np.log(11)  # probability 1/2 for the true class
    expected = (np.log(2) + np.log(12)) / 2
    assert _loss(labels, logits) == pytest.approx(expected, rel=1e-5)


def test_weights_weigh_the_mean():
    labels = np.array([[[0, 1]]], np.int32)
    logits = np.zeros((1, 1, 2, 12), np.float32)
    logits[0, 0, 0, 0] = np.log(11)
    weights = np.ones(12, np.float32)
    weights[0] = 3
    assert _loss(labels, logits, weights) == pytest.approx((3 * np.log(2) + np.log(12)) / 4, rel=1e-5)


def test_void_carries_no_loss_unless_it_is_a_class():
    labels = [[[2, VOID]]]
    right, wrong = _one_hot_logits([[[2, VOID]]], 9.0), _one_hot_logits([[[2, 7]]], 9.0)
    assert _loss(labels, right) == _loss(labels, wrong) < 0.01
    assert _loss([[[VOID, VOID]]], right) == 0.0
    weights = np.append(np.ones(11), 0.5)
    assert _loss(labels, right, weights) < 0.01
    # The logits give void a probability of about exp(-9), and it weighs a third of both pixels.
    assert _loss(labels, wrong, weights) == pytest.approx(9 / 3, rel=0.01)


def test_nothing_is_learnt_outside_of_the_picture():
    right, wrong = _one_hot_logits([[[2, VOID]]], 9.0), _one_hot_logits([[[2, 7]]], 9.0)
    assert _loss([[[2, -1]]], right, np.ones(12), jaccard=1.0) == _loss([[[2, -1]]], wrong, np.ones(12), jaccard=1.0) < 0.01


def test_soft_targets_are_shares_of_the_known_pixels():
    counts = np.zeros((1, 2, 2, 12), np.uint8)
    counts[0, 0, 0, 4], counts[0, 0, 1, 4], counts[0, 1, 0, 6], counts[0, 1, 1, VOID] = 16, 8, 16, 4
    expected = np.zeros(12)
    expected[4], expected[6], expected[VOID] = 0.375, 0.25, 0.0625
    np.testing.assert_allclose(np.asarray(soft_targets(counts, 2))[0, 0, 0], expected)
    np.testing.assert_allclose(np.asarray(soft_targets(counts, 1))[0, 0, 1, 4], 0.5)


def test_class_weights_follow_enet():
    counts = np.full(12, 10)
    counts[2] = 1000
    weights = class_weights(counts, 1.02, CAMVID)
    share = counts[:11] / counts[:11].sum()
    ratio = np.log(1.02 + share[2]) / np.log(1.02 + share[0])
    assert weights[0] / weights[2] == pytest.approx(ratio, rel=1e-5)
    assert weights[:11].mean() == pytest.approx(1, rel=1e-5)
    assert weights[VOID] == 0


def _shares(*cells) -> np.ndarray:
    """(1, 1, cells, 12) from a dictionary of class shares for each cell."""
    array = np.zeros((1, 1, len(cells), 12), np.float32)
    for index, cell in enumerate(cells):
        for name, share in cell.items():
            array[0, 0, index, name] = share
    return keras.ops.convert_to_tensor(array)


def test_jaccard_loss_of_hard_labels_is_one_minus_the_soft_iou():
    targets = _shares({0: 1}, {1: 1})
    probabilities = _shares({0: 0.5, 1: 0.5}, {0: 0.25, 1: 0.75})
    # Class 0: intersection 0.5, union 1 + 0.25; class 1: 0.75 and 1 + 0.5.
    assert float(jaccard_loss(targets, probabilities)) == pytest.approx(1 - (0.5 / 1.25 + 0.75 / 1.5) / 2, rel=1e-5)


def test_jaccard_loss_is_zero_only_at_the_soft_targets():
    targets = _shares({0: 0.75, 1: 0.25}, {1: 1})
    assert float(jaccard_loss(targets, targets)) == pytest.approx(0, abs=1e-6)
    harder = _shares({0: 1}, {1: 1})  # a product of the two would prefer this
    # Class 0: sums 0.75 + 1, distance 0.25; class 1: sums 1.25 + 1, distance 0.25.
    expected = 1 - ((1.75 - 0.25) / (1.75 + 0.25) + (2.25 - 0.25) / (2.25 + 0.25)) / 2
    assert float(jaccard_loss(targets, harder)) == pytest.approx(expected, rel=1e-5)


def test_jaccard_loss_leaves_absent_classes_out():
    targets = _shares({3: 1})
    probabilities = _shares({3: 0.5, 7: 0.5})
    assert float(jaccard_loss(targets, probabilities)) == pytest.approx(0.5, rel=1e-5)


def test_jaccard_loss_does_not_see_void():
    targets, nothing = _shares({3: 1}, {}), _shares({}, {})
    some, other = (_shares({3: 0.5, 7: 0.5}, {name: 1}) for name in (3, 7))
    assert float(jaccard_loss(targets, some)) == float(jaccard_loss(targets, other)) == pytest.approx(0.5, rel=1e-5)
    assert float(jaccard_loss(nothing, some)) == 0


def test_the_jaccard_term_is_added_with_its_weight():
    labels, logits = np.array([[[0, 1]]], np.int32), np.zeros((1, 1, 2, 12), np.float32)
    # Each class: intersection 1/12, union 1 + 1/12.
    assert _loss(labels, logits, jaccard=2.0) == pytest.approx(np.log(12) + 2 * (1 - 1 / 13), rel=1e-5)


def test_hard_cells_are_the_improbable_ones():
    entropy = -np.log(np.array([[[0.9, 0.6, 0.8, 0.1]]], np.float32))
    kept = np.asarray(hard_cells(entropy, np.ones((1, 1, 4), np.float32), Hard(0.7, 0.0)))
    assert kept.tolist() == [[[0, 1, 0, 1]]]


def test_at_least_a_share_of_the_labelled_cells_is_hard():
    probability = np.array([[[0.99, 0.9, 0.95, 0.98, 1.0, 1.0]]], np.float32)
    labelled = np.array([[[1, 1, 1, 1, 0, 0]]], np.float32)
    kept = np.asarray(hard_cells(-np.log(probability), labelled, Hard(0.7, 0.5)))
    assert kept.tolist() == [[[0, 1, 1, 0, 0, 0]]]
    assert not np.asarray(hard_cells(-np.log(probability), 0 * labelled, Hard(0.7, 0.5))).any()


def test_a_half_labelled_cell_is_as_hard_as_its_labelled_half():
    labelled = np.array([[[1, 0.5, 1]]], np.float32)
    entropy = -np.log(np.array([[[0.8, 0.8, 0.5]]], np.float32)) * labelled
    assert np.asarray(hard_cells(entropy, labelled, Hard(0.85, 0.0))).tolist() == [[[1, 1, 1]]]
    assert np.asarray(hard_cells(entropy, labelled, Hard(0.75, 0.0))).tolist() == [[[0, 0, 1]]]


def test_mining_takes_the_mean_over_hard_pixels():
    labels = np.array([[[0, 1]]], np.int32)
    logits = np.zeros((1, 1, 2, 12), np.float32)
    logits[0, 0, 0, 0] = np.log(99 * 11)  # probability 0.99
    assert _loss(labels, logits, hard=Hard(0.7, 0.0)) == pytest.approx(np.log(12), rel=1e-5)
    assert _loss(labels, logits, hard=Hard(0.7, 1.0)) == pytest.approx((np.log(12) - np.log(0.99)) / 2, rel=1e-5)


def test_distillation_loss_by_hand():
    student = np.zeros((1, 1, 1, 12), np.float32)
    teacher = np.zeros((1, 1, 1, 12), np.float32)
    teacher[..., 4] = 2 * np.log(11)  # at temperature 2 a probability of 1/2, and 1/22 for each of the others
    expected = 0.5 * np.log(0.5 * 12) + 0.5 * np.log(12 / 22)
    assert float(distillation_loss(student, teacher, 2.0)) == pytest.approx(4 * expected, rel=1e-5)
    assert float(distillation_loss(teacher, teacher, 2.0)) == pytest.approx(0, abs=1e-6)


def test_distillation_adds_to_the_labels_and_counts_void():
    generator = np.random.default_rng(0)
    student, teacher = (generator.normal(size=(1, 1, 2, 12)).astype(np.float32) for _ in range(2))
    both = np.concatenate([student, teacher], axis=-1)
    loss = DistilledLoss(SegmentationLoss(LEARNT, CAMVID), weight=0.5, temperature=3.0)
    for labels in ([[[2, 3]]], [[[VOID, VOID]]]):
        expected = _loss(labels, student) + 0.5 * float(distillation_loss(student, teacher, 3.0))
        assert float(loss.call(_counts(labels), both)) == pytest.approx(expected, rel=1e-5)
