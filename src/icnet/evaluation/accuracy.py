"""Accuracy on a labelled split, by Open Model Zoo's protocol for `icnet-camvid-ava` and by our stricter rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from icnet.base.classes import NAMES
from icnet.base.errors import DataError
from icnet.base.sample import Sample
from icnet.evaluation.scores import Scores, confusion_matrix, scores
from icnet.runtime.decode import decode_both
from icnet.runtime.preprocess import resize_frame

if TYPE_CHECKING:
    from icnet.network.openvino_model import Output

PROTOCOL_HW = (720, 960)
"""Truth and class maps are compared at this height and width, whatever the sizes of image and network."""


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

    def infer(self, data: np.ndarray) -> np.ndarray:
        """(1, H, W, 3) uint8 BGR to the raw output."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """The outcome on one split."""

    images: int
    confusion: np.ndarray
    """(12, 12) int64 pixels, rows are truth."""
    scores: Scores


def predict(network: Network, frame: np.ndarray, size_hw: tuple[int, int], *, abstain: float = 0.0) -> np.ndarray:
    """Classes of one (H, W, 3) uint8 BGR image to `size_hw` uint8, Unlabeled where the confidence is below `abstain`."""
    raw = network.infer(resize_frame(frame, network.size_hw))
    return decode_both(raw, network.output, size_hw, confidence=False, abstain=abstain)[0]


def probabilities(network: Network, frame: np.ndarray, *, temperature: float = 1.0) -> np.ndarray:
    """Of the classes in one (H, W, 3) uint8 BGR image, as a network with logits sees it: (h, w, classes) float32.

    A `temperature` above 1 brings them closer together: Hinton et al., arXiv 1503.02531.
    """
    logits = network.infer(resize_frame(frame, network.size_hw))[0].transpose(1, 2, 0) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def evaluate(samples: Iterable[Sample], network: Network, *, abstain: float = 0.0) -> Evaluation:
    """Score a network on every sample at 720x960.

    The image is resized bilinearly to the network's input, the truth by nearest neighbour to 720x960, and one
    confusion matrix is summed over all images before any ratio is formed. Pixels of less confidence than `abstain` are Unlabeled.

    Raises:
        DataError: there are no samples.
        UsageError: a network that gives class indices only is to abstain.
    """
    height, width = PROTOCOL_HW
    total = np.zeros((len(NAMES), len(NAMES)), np.int64)
    images = 0
    for sample in samples:
        truth = cv2.resize(sample.labels, (width, height), interpolation=cv2.INTER_NEAREST)
        total += confusion_matrix(truth, predict(network, sample.image, PROTOCOL_HW, abstain=abstain))
        images += 1
    if not images:
        raise DataError("the dataset holds no images: give a split with at least one labelled image")
    return Evaluation(images, total, scores(total))
