import numpy as np
import pytest

from icnet.net.losses import PixelCrossEntropy, class_weights, soft_targets

VOID = 11


def _loss(labels, logits, weights=None) -> float:
    return float(PixelCrossEntropy(np.ones(12) if weights is None else weights).call(labels, logits))


def _one_hot_logits(classes, strength: float) -> np.ndarray:
    return (np.eye(12, dtype=np.float32)[classes] * strength).astype(np.float32)


def test_uniform_logits_cost_log_of_twelve():
    labels = np.full((1, 4, 4), 3, np.int32)
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


def test_void_carries_no_loss():
    labels = np.array([[[2, VOID]]], np.int32)
    right, wrong = _one_hot_logits([[[2, 5]]], 9.0), _one_hot_logits([[[2, 7]]], 9.0)
    assert _loss(labels, right) == _loss(labels, wrong) < 0.01
    assert _loss(np.full((1, 1, 2), VOID, np.int32), right) == 0.0


def test_soft_targets_are_shares_of_the_labelled_block():
    labels = np.array([[[4, 4], [6, VOID]]], np.int32)
    targets = np.asarray(soft_targets(labels, 2))
    assert targets.shape == (1, 1, 1, 12)
    expected = np.zeros(12)
    expected[4], expected[6] = 0.5, 0.25
    np.testing.assert_allclose(targets[0, 0, 0], expected)


def test_class_weights_follow_enet():
    counts = np.full(12, 10)
    counts[2] = 1000
    weights = class_weights(counts, 1.02)
    share = counts[:11] / counts[:11].sum()
    ratio = np.log(1.02 + share[2]) / np.log(1.02 + share[0])
    assert weights[0] / weights[2] == pytest.approx(ratio, rel=1e-5)
    assert weights[:11].mean() == pytest.approx(1, rel=1e-5)
    assert weights[VOID] == 0
