"""The loss of each of ICNet's three heads: class-weighted cross-entropy, void ignored."""

import keras
import numpy as np
from keras import ops

from icnet.base.classes import NAMES, SCORED, VOID


def class_weights(counts: np.ndarray, offset: float) -> np.ndarray:
    """ENet's class weights 1 / ln(offset + share): Paszke et al., arXiv 1606.02147, section 4.

    Args:
        counts: (12,) labelled pixels per class; the void entry is ignored.
        offset: bounds the weight of a rare class to 1 / ln(offset).

    Returns:
        (12,) float32 with mean 1 over the scored classes and 0 for void.
    """
    share = counts[:SCORED] / counts[:SCORED].sum()
    weights = np.zeros(len(NAMES), np.float32)
    weights[:SCORED] = 1 / np.log(offset + share)
    weights[:SCORED] /= weights[:SCORED].mean()
    return weights


def soft_targets(labels, stride: int):
    """Share of each class in every `stride` x `stride` block of labels.

    Cross-entropy against these shares is the mean cross-entropy over all pixels of the block, so thin objects count
    although the logits are small.

    Args:
        labels: (N, H, W) integer class indices.
        stride: divides H and W.

    Returns:
        (N, H/stride, W/stride, 12) float32; void pixels count nowhere, so a block's shares sum to 1 or less.
    """
    labelled = ops.cast(labels != VOID, "float32")
    one_hot = ops.one_hot(labels, len(NAMES), dtype="float32") * labelled[..., None]
    return ops.average_pool(one_hot, stride, strides=stride, padding="valid", data_format="channels_last")


class PixelCrossEntropy(keras.losses.Loss):
    """Weighted mean of the per-pixel cross-entropy, over all labelled pixels of the batch."""

    def __init__(self, weights: np.ndarray, name: str = "pixel_cross_entropy"):
        """Weigh class c by `weights[c]`; (12,) float32."""
        super().__init__(name=name, reduction=None)
        self.weights = np.asarray(weights, np.float32)

    def call(self, y_true, y_pred):
        """Loss of logits `y_pred` (N, h, w, 12) against labels `y_true` (N, H, W), H a multiple of h."""
        stride = y_true.shape[1] // y_pred.shape[1]
        targets = soft_targets(ops.cast(y_true, "int32"), stride) * self.weights
        entropy = -ops.sum(targets * ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1))
        return entropy / ops.maximum(ops.sum(targets), 1e-6)
