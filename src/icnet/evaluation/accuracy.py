"""Accuracy on a labelled split: for CamVid by Open Model Zoo's protocol for `icnet-camvid-ava` and by our stricter rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from icnet.base.classes import CAMVID, OUTSIDE, Classes
from icnet.base.errors import DataError, UsageError
from icnet.base.sample import Dataset, Sample
from icnet.evaluation.scores import Scores, confusion_matrix, scores
from icnet.runtime.decode import decode_both
from icnet.runtime.preprocess import resize_frame

if TYPE_CHECKING:
    from icnet.network.openvino_model import Output
    from icnet.network.spec import Spec

PROTOCOL_HW = (720, 960)
"""Where the classes are CamVid's, truth and class maps are compared at this height and width, whatever the sizes of image and
network; else at the truth's own."""


class Network(Protocol):
    """What can be scored: the OpenVINO engine, `KerasNetwork`, `TorchNetwork`."""

    @property
    def output(self) -> Output:
        """`logits`, `index` or `soft`."""
        ...

    @property
    def size_hw(self) -> tuple[int, int]:
        """H and W of the input."""
        ...

    @property
    def classes(self) -> Classes:
        """What it answers."""
        ...

    def infer(self, data: np.ndarray) -> np.ndarray:
        """(1, H, W, 3) uint8 BGR to the raw output."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """The outcome on one split."""

    images: int
    confusion: np.ndarray
    """(C, C) int64 pixels, rows are truth."""
    scores: Scores
    classes: Classes


def predict(network: Network, frame: np.ndarray, size_hw: tuple[int, int], *, abstain: float = 0.0) -> np.ndarray:
    """Classes of one (H, W, 3) uint8 BGR image to `size_hw` uint8, void where the confidence is below `abstain`."""
    raw = network.infer(resize_frame(frame, network.size_hw))
    return decode_both(raw, network.output, size_hw, confidence=False, abstain=abstain, void=network.classes.void)[0]


def probabilities(network: Network, frame: np.ndarray, *, temperature: float = 1.0) -> np.ndarray:
    """Of the classes in one (H, W, 3) uint8 BGR image, as a network with logits sees it: (h, w, classes) float32.

    A `temperature` above 1 brings them closer together: Hinton et al., arXiv 1503.02531.
    """
    logits = network.infer(resize_frame(frame, network.size_hw))[0].transpose(1, 2, 0) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def evaluate(samples: Iterable[Sample], network: Network, *, abstain: float = 0.0) -> Evaluation:
    """Score a network on every sample, whose labels are indices of the network's classes.

    The image is resized bilinearly to the network's input, the scores to the truth's size, or both by CamVid's protocol to
    720x960 (the truth by nearest neighbour), and one confusion matrix is summed over all images before any ratio is formed.
    Labels that are `OUTSIDE` are left out. Pixels of less confidence than `abstain` are void.

    Raises:
        DataError: there are no samples.
        UsageError: a network that gives class indices only, or has no void class, is to abstain.
    """
    table = network.classes
    if abstain and table.void is None:
        raise UsageError('this model has no class for "no label", so it cannot abstain: leave that out')
    total = np.zeros((len(table), len(table)), np.int64)
    images = 0
    for sample in samples:
        size_hw = PROTOCOL_HW if table == CAMVID else sample.labels.shape
        truth = cv2.resize(sample.labels, size_hw[::-1], interpolation=cv2.INTER_NEAREST)
        predicted = predict(network, sample.image, size_hw, abstain=abstain)
        known = truth != OUTSIDE
        total += confusion_matrix(truth[known], predicted[known], len(table))
        images += 1
    if not images:
        raise DataError("the dataset holds no images: give a split with at least one labelled image")
    return Evaluation(images, total, scores(total, table), table)


def check_classes(dataset: Dataset, network: Network | Spec) -> None:
    """Refuse to score a network on data of other classes.

    Raises:
        UsageError: their names are not the same, in the same order.
    """
    of_data, of_network = (tuple(name.casefold() for name in one.classes.names) for one in (dataset, network))
    if of_data != of_network:
        odd = sorted(set(of_data) ^ set(of_network))
        differ = f"they differ in {', '.join(odd[:5])}{' and more' if len(odd) > 5 else ''}" if odd else "they have another order"
        raise UsageError(
            f"the data has {len(of_data)} classes and the model {len(of_network)}, and {differ}: "
            "score a model on data of its own classes"
        )
