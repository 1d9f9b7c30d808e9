"""The losses of ICNet's heads: cross-entropy, on all pixels or the hard ones, Jaccard loss, distillation."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from icnet.base.classes import Classes
from icnet.network.keras_layers import Tensor
from icnet.network.spec import OUTPUT_STRIDE


def class_weights(counts: np.ndarray, offset: float, classes: Classes) -> np.ndarray:
    """ENet's class weights 1 / ln(offset + share): Paszke et al., arXiv 1606.02147, section 4.

    Args:
        counts: (C,) labelled pixels per class; the void entry is ignored.
        offset: bounds the weight of a rare class to 1 / ln(offset).
        classes: tell what void is.

    Returns:
        (C,) float32 with mean 1 over the scored classes and 0 for void.
    """
    scored = list(classes.scored)
    share = counts[scored] / counts[scored].sum()
    weights = np.zeros(len(classes), np.float32)
    weights[scored] = 1 / np.log(offset + share)
    weights[scored] /= weights[scored].mean()
    return weights


def soft_targets(counts: Tensor, stride: int) -> Tensor:
    """Share of each class in every cell of a head's logits: (N, H/stride, W/stride, C) float32.

    Pixels outside of the picture count nowhere, so a cell's shares sum to 1 or less.

    Args:
        counts: (N, H, W, C) pixels of each class in 4x4 cells, see `icnet.data.cells`.
        stride: cells of the counts along a side of one of the logits.
    """
    shares = ops.cast(counts, "float32") / OUTPUT_STRIDE**2
    return (
        ops.average_pool(shares, stride, strides=stride, padding="valid", data_format="channels_last") if stride > 1 else shares
    )


@dataclass(frozen=True)
class Hard:
    """Which cells of a batch count: those that the network finds hard, and at least a share of all labelled ones."""

    probability: float
    """Of the true class, below which a cell is hard; in a cell of several classes the geometric mean over its pixels."""
    share: float
    """The hardest cells up to this share of the labelled ones always count."""


def hard_cells(entropy: Tensor, labelled: Tensor, hard: Hard) -> Tensor:
    """Online hard example mining: Shrivastava et al., arXiv 1604.03540, for pixels instead of regions.

    Args:
        entropy: (N, h, w) cross-entropy summed over the labelled part of each cell.
        labelled: (N, h, w) share of each cell that is labelled.
        hard: which cells count; those without labels never do.

    Returns:
        (N, h, w) float32, 1 or 0.
    """
    known = labelled > 0
    mean = ops.where(known, entropy / ops.maximum(labelled, 1e-6), -1.0)  # -log of the geometric mean probability
    ranked = ops.sort(ops.reshape(mean, (-1,)))  # the number of labelled cells varies, so a fixed top_k would not do
    kept = ops.cast(ops.ceil(hard.share * ops.sum(ops.cast(known, "float32"))), "int32")
    least = ops.take(ranked, ops.shape(ranked)[0] - ops.maximum(kept, 1))
    limit = ops.minimum(least, -float(np.log(hard.probability)))
    return ops.stop_gradient(ops.cast(ops.logical_and(known, mean >= limit), "float32"))


class SegmentationLoss(keras.losses.Loss):
    """Cross-entropy over the labelled pixels of the batch, and optionally a term for the IoU itself."""

    def __init__(
        self,
        weights: np.ndarray,
        classes: Classes,
        *,
        jaccard: float = 0.0,
        hard: Hard | None = None,
        name: str = "segmentation_loss",
    ):
        """Choose the terms.

        Args:
            weights: (C,) float32, of each class in the cross-entropy; pixels of a class with weight 0 count nowhere.
            classes: tell what void is, which never counts for the Jaccard loss.
            jaccard: times the Jaccard loss is added.
            hard: restricts the cross-entropy to hard cells; all count by default.
            name: for Keras.
        """
        super().__init__(name=name, reduction=None)
        self.weights, self.jaccard, self.hard = np.asarray(weights, np.float32), jaccard, hard
        self._scored = classes.scored

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Loss of logits `y_pred` (N, h, w, C) against class counts `y_true` (N, H, W, C), H a multiple of h."""
        weights = ops.convert_to_tensor(self.weights)
        targets = soft_targets(y_true, y_true.shape[1] // y_pred.shape[1]) * ops.cast(weights > 0, "float32")
        logits = ops.cast(y_pred, "float32")
        log_probabilities = ops.log_softmax(logits, axis=-1)
        weighted = targets * weights
        if self.hard is not None:
            entropy = -ops.sum(targets * log_probabilities, axis=-1)
            weighted = weighted * hard_cells(entropy, ops.sum(targets, axis=-1), self.hard)[..., None]
        loss = -ops.sum(weighted * log_probabilities) / ops.maximum(ops.sum(weighted), 1e-6)
        if not self.jaccard:
            return loss
        return loss + self.jaccard * jaccard_loss(self._of_scored(targets), self._of_scored(ops.softmax(logits, axis=-1)))

    def _of_scored(self, x: Tensor) -> Tensor:
        """Without the channel of void."""
        count = len(self._scored)
        return x[..., :count] if self._scored[-1] == count - 1 else ops.take(x, self._scored, axis=-1)


def jaccard_loss(targets: Tensor, probabilities: Tensor) -> Tensor:
    """One minus the IoU of soft masks, mean over the classes that the batch holds.

    Source: Wang et al., "Jaccard Metric Losses", arXiv 2302.05666, eq. 8: unlike a product of the two, it is smallest where the
    probabilities equal soft targets. Both are (N, h, w, classes); targets of cells without labels sum to less than 1.
    """
    probabilities = probabilities * ops.sum(targets, axis=-1, keepdims=True)  # what has no label counts nowhere
    both = ops.sum(targets + probabilities, axis=(0, 1, 2))
    apart = ops.sum(ops.abs(targets - probabilities), axis=(0, 1, 2))
    present = ops.cast(ops.sum(targets, axis=(0, 1, 2)) > 0, "float32")
    loss = 1 - (both - apart) / ops.maximum(both + apart, 1e-6)
    return ops.sum(present * loss) / ops.maximum(ops.sum(present), 1)


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean over all cells of KL(teacher || student) at a temperature, times its square so that gradients keep their size.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2. Student and teacher are
    (N, h, w, C) logits, divided by the temperature, which above 1 shows which wrong classes the teacher finds likely. Void cells
    count too, for the teacher knows an answer there.
    """
    student, teacher = (ops.log_softmax(ops.cast(x, "float32") / temperature, axis=-1) for x in (student, teacher))
    divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
    return temperature**2 * ops.mean(divergence)


class DistilledLoss(keras.losses.Loss):
    """The loss of a head whose output holds the logits of student and teacher, one after the other."""

    def __init__(self, labelled: keras.losses.Loss, weight: float, temperature: float, name: str = "distilled_loss"):
        """Add `weight` times the distillation loss at `temperature` to `labelled`, the loss of the student's logits."""
        super().__init__(name=name, reduction=None)
        self.labelled, self.weight, self.temperature = labelled, weight, temperature

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Loss of `y_pred` (N, h, w, 2 C) against class counts `y_true` (N, H, W, C)."""
        student, teacher = ops.split(y_pred, 2, axis=-1)
        return self.labelled.call(y_true, student) + self.weight * distillation_loss(student, teacher, self.temperature)
