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
from icnet.evaluation.boundary import BoundaryIou
from icnet.evaluation.calibration import Calibration, Reliability
from icnet.evaluation.scores import Scores, confusion_matrix, present_mean, scores
from icnet.evaluation.tally import Tally, counts
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
    tally: Tally
    """What each picture has part in it."""
    boundary: np.ndarray
    """(K,) float64, boundary IoU of the scored classes; NaN for those that the truth does not have."""
    reliability: Reliability | None
    """None of a network that does not tell how sure it is."""

    @property
    def boundary_miou(self) -> float:
        """Mean of `boundary` over the classes that the truth has; NaN without any."""
        return float(present_mean(self.boundary))


def predict(network: Network, frame: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Classes of one (H, W, 3) uint8 BGR image, to `size_hw` uint8."""
    raw = network.infer(resize_frame(frame, network.size_hw))
    return decode_both(raw, network.output, size_hw, confidence=False)[0]


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
    Labels that are `OUTSIDE` are left out. Pixels of less confidence than `abstain` are void. Calibration is measured at the same
    size, on the labelled pixels and with the confidence that the decoder tells users, before any pixel abstains.

    Raises:
        DataError: there are no samples.
        UsageError: a network that gives class indices only, or has no void class, is to abstain.
    """
    table = network.classes
    if abstain and table.void is None:
        raise UsageError('this model has no class for "no label", so it cannot abstain: leave that out')
    total, names, rows = np.zeros((len(table), len(table)), np.int64), [], []
    boundary, calibration, tells = BoundaryIou(table), Calibration(), network.output != "index"
    for sample in samples:
        truth = scored_truth(sample, table)
        raw = network.infer(resize_frame(sample.image, network.size_hw))
        predicted, confidence = decode_both(raw, network.output, truth.shape, confidence=tells or abstain > 0)
        known = truth != OUTSIDE
        if confidence is not None:
            labelled = known if table.void is None else known & (truth != table.void)
            calibration.add(confidence[labelled], (truth == predicted)[labelled])
            predicted[confidence < 255 * abstain] = table.void or 0
        boundary.add(truth, predicted)
        matrix = confusion_matrix(truth[known], predicted[known], len(table))
        total += matrix
        names.append(sample.name)
        rows.append(counts(matrix, table))
    if not names:
        raise DataError("the dataset holds no images: give a split with at least one labelled image")
    reliability = calibration.reliability() if tells else None
    return Evaluation(len(names), total, scores(total, table), table, Tally.of(names, rows), boundary.iou(), reliability)


def scored_truth(sample: Sample, table: Classes) -> np.ndarray:
    """A sample's labels at the size at which they are scored, (H, W) uint8."""
    height, width = PROTOCOL_HW if table == CAMVID else sample.labels.shape
    return np.asarray(cv2.resize(sample.labels, (width, height), interpolation=cv2.INTER_NEAREST))


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
