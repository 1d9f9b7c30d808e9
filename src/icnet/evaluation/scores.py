"""Confusion matrix and IoU by the two rules of the project.

- **omz**: row and column of void in the confusion matrix are zeroed, so predicting Unlabeled on a real class is forgiven.
  This is how Open Model Zoo's accuracy checker scores the published model.
- **strict**: predicting Unlabeled on a labelled pixel is a miss.

Where no class stands for "no label" there is one rule, strict.
"""

import math
from dataclasses import dataclass

import numpy as np

from icnet.base.classes import Classes


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by true class (row) and predicted class (column): (classes, classes) int64.

    Args:
        truth: integer class indices, any shape, 0 to `classes` - 1.
        predicted: the same shape and range.
        classes: number of classes, void included.

    Raises:
        ValueError: the shapes differ or an index is out of range.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has shape {truth.shape}, predicted {predicted.shape}: they must be equal")
    for name, array in (("truth", truth), ("predicted", predicted)):
        if array.size and (int(array.min()) < 0 or int(array.max()) >= classes):
            raise ValueError(f"{name} holds a class outside 0 to {classes - 1}")
    joint = truth.astype(np.int64).ravel() * classes + predicted.ravel()
    return np.bincount(joint, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True)
class Scores:
    """Accuracy of one model on one split; all figures are fractions."""

    miou_strict: float
    miou_omz: float | None
    """None, like `given_up` and `void_found`, where no class is void."""
    iou: dict[str, float]
    """Class name to IoU by the strict rule; NaN for a class that does not occur in the truth."""
    pixel_accuracy: float
    """Share of the labelled pixels that have the right class."""
    given_up: float | None
    """Share of the labelled pixels that are called Unlabeled."""
    void_found: float | None
    """Share of the pixels without a label that are called Unlabeled; NaN if all have one."""

    @property
    def absent(self) -> tuple[str, ...]:
        """The classes that the truth does not have, which are in no mean."""
        return tuple(name for name, value in self.iou.items() if math.isnan(value))


def iou(hits: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """IoU = TP / (TP + FN + FP) by element, of pixel counts; NaN where there are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(hits / (truth + predicted - hits), np.float64)


def present_iou(hits: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """`iou`, and NaN where the truth has nothing too, for a class that is not there can be neither right nor wrong."""
    return np.where(truth > 0, iou(hits, truth, predicted), np.nan)


def present_mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis without NaN; NaN where nothing is left."""
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(present, values, 0).sum(axis=-1) / present.sum(axis=-1))


def scores(matrix: np.ndarray, table: Classes) -> Scores:
    """Score a (C, C) confusion matrix of the classes of a table, rows are truth.

    A class that is absent from the truth is left out of the means. Where it is found all the same, the pixels count as misses of
    the classes that they have.
    """
    void, labelled, omz, given_up, void_found = table.void, matrix.copy(), None, None, None
    scored = list(table.scored)
    if void is not None:
        labelled[void, :] = 0  # pixels without a label are never scored
        forgiven = labelled.copy()
        forgiven[:, void] = 0
        present = matrix.sum(axis=1) > 0  # for all of a class may have been forgiven
        omz = _mean(np.where(present, iou(*_counts(forgiven)), np.nan)[scored])
        given_up = _ratio(labelled[:, void].sum(), labelled.sum())
        void_found = _ratio(matrix[void, void], matrix[void].sum())
    strict = present_iou(*_counts(labelled))[scored]
    return Scores(
        miou_strict=_mean(strict),
        miou_omz=omz,
        iou={table.names[index]: float(value) for index, value in zip(table.scored, strict, strict=True)},
        pixel_accuracy=_ratio(np.trace(labelled), labelled.sum()),
        given_up=given_up,
        void_found=void_found,
    )


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")


def _counts(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, truth and predictions of each class."""
    return np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)


def _mean(values: np.ndarray) -> float:
    return float(present_mean(values))
