"""What every picture adds to the figures: enough for the IoU of any selection of pictures, in little memory."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from icnet.base.classes import Classes
from icnet.evaluation.scores import present_iou, present_mean

_FRAME = re.compile(r"(?P<sequence>.*?)[/_-][a-z]?\d+(?:_[a-z]\w*)?", re.IGNORECASE)
"""A name that ends in a frame's number, as of CamVid (`0016E5_07959`) and Cityscapes (`bonn_000001_000019_leftImg8bit`)."""


def counts(matrix: np.ndarray, classes: Classes) -> np.ndarray:
    """Hits, truth and predictions of the scored classes in a picture's confusion matrix, (C, C): (3, K) int64."""
    scored = list(classes.scored)
    labelled = matrix[scored]  # what is found where there is no label does not count
    return np.stack([matrix.diagonal()[scored], labelled.sum(axis=1), labelled.sum(axis=0)[scored]])


@dataclass(frozen=True, eq=False)
class Tally:
    """Pixels of each of N pictures and K scored classes, by the strict rule; 24 KN bytes."""

    names: tuple[str, ...]
    """Of the pictures."""
    hits: np.ndarray
    """(N, K) int64: of the class, and found so."""
    truth: np.ndarray
    """(N, K) int64: of the class."""
    predicted: np.ndarray
    """(N, K) int64: found so where there is a label."""

    @classmethod
    def of(cls, names: Sequence[str], rows: Sequence[np.ndarray]) -> Self:
        """Of the `counts` of each picture."""
        hits, truth, predicted = np.stack(rows).transpose(1, 0, 2)
        return cls(tuple(names), hits, truth, predicted)

    def __len__(self) -> int:
        """How many pictures."""
        return len(self.names)

    def iou(self, weights: np.ndarray | None = None) -> np.ndarray:
        """IoU of each class over all pictures: (K,) float64, NaN for classes that the truth does not have.

        Args:
            weights: (..., N), how often each picture counts; once if not given. The result is then (..., K).
        """
        counted = np.ones(len(self)) if weights is None else weights
        return present_iou(*(counted @ values for values in (self.hits, self.truth, self.predicted)))

    def per_picture(self) -> np.ndarray:
        """Mean IoU of each picture over the classes in its own truth: (N,) float64, NaN without labels."""
        return present_mean(present_iou(self.hits, self.truth, self.predicted))

    def sequences(self) -> np.ndarray:
        """(N,) integers, the same for pictures of one drive as far as their names tell: the name before the frame's number."""
        found = (_FRAME.fullmatch(name) for name in self.names)
        keys = [match["sequence"] if match else name for match, name in zip(found, self.names, strict=True)]
        return np.asarray(np.unique(keys, return_inverse=True)[1])
