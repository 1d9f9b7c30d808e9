"""Confusion matrix and IoU by the two rules of the project.

- **omz**: row and column of void in the confusion matrix are zeroed, so predicting Unlabeled on a real class is forgiven.
  This is how Open Model Zoo's accuracy checker scores the published model.
- **strict**: predicting Unlabeled on a labelled pixel is a miss.

Where no class stands for "no label" there is one rule, strict.
"""

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
    """Class name to IoU by the strict rule; NaN for a class that occurs neither in truth nor in the predictions."""
    pixel_accuracy: float
    """Share of the labelled pixels that have the right class."""
    given_up: float | None
    """Share of the labelled pixels that are called Unlabeled."""
    void_found: float | None
    """Share of the pixels without a label that are called Unlabeled; NaN if all have one."""


def _iou(matrix: np.ndarray, scored: tuple[int, ...]) -> np.ndarray:
    """IoU = TP / (TP + FN + FP) of the scored classes."""
    hits = np.diag(matrix).astype(np.float64)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix)
    with np.errstate(invalid="ignore"):
        return np.asarray(hits / union)[list(scored)]


def scores(matrix: np.ndarray, table: Classes) -> Scores:
    """Score a (C, C) confusion matrix of the classes of a table, rows are truth.

    A class that is absent from truth and predictions is left out of the means.
    """
    void, labelled, omz, given_up, void_found = table.void, matrix.copy(), None, None, None
    if void is not None:
        labelled[void, :] = 0  # pixels without a label are never scored
        forgiven = labelled.copy()
        forgiven[:, void] = 0
        omz = _mean(_iou(forgiven, table.scored))
        given_up = _ratio(labelled[:, void].sum(), labelled.sum())
        void_found = _ratio(matrix[void, void], matrix[void].sum())
    strict = _iou(labelled, table.scored)
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


def _mean(iou: np.ndarray) -> float:
    present = iou[~np.isnan(iou)]
    return float(present.mean()) if present.size else float("nan")
