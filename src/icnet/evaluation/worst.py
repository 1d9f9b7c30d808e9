"""The pictures on which a model does worst, beside their truth and its answer."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np

from icnet.base.sample import Dataset
from icnet.evaluation.accuracy import Evaluation, Network, predict, scored_truth
from icnet.runtime.overlay import colour_map

SHOWN = 12
_WIDTH = 360
"""Pixels across each of the three."""


@dataclass(frozen=True)
class Shown:
    """A picture in a page; the three images are data URIs."""

    name: str
    miou: float
    """Mean IoU over the classes in its own truth."""
    picture: str
    truth: str
    predicted: str


def worst(dataset: Dataset, network: Network, result: Evaluation, *, count: int = SHOWN) -> list[Shown]:
    """The worst `count` pictures of an evaluation, the very worst first; the network looks at them once more.

    Args:
        dataset: what was evaluated.
        network: by which.
        result: the outcome.
        count: at most.
    """
    by_picture = result.tally.per_picture()
    order = [int(index) for index in np.argsort(by_picture, kind="stable") if not np.isnan(by_picture[index])]
    return [_shown(dataset, network, result, index, float(by_picture[index])) for index in order[:count]]


def _shown(dataset: Dataset, network: Network, result: Evaluation, index: int, miou: float) -> Shown:
    sample, palette = dataset[index], result.classes.palette_rgb
    truth = scored_truth(sample, result.classes)
    height, width = truth.shape
    size_wh = (_WIDTH, max(1, round(height * _WIDTH / width)))
    maps = (
        cv2.resize(labels, size_wh, interpolation=cv2.INTER_NEAREST)
        for labels in (truth, predict(network, sample.image, (height, width)))
    )
    real, found = (_uri(".png", colour_map(labels, palette)) for labels in maps)
    return Shown(sample.name, miou, _uri(".jpg", cv2.resize(sample.image, size_wh, interpolation=cv2.INTER_AREA)), real, found)


def _uri(suffix: str, image: np.ndarray) -> str:
    data = cv2.imencode(suffix, image, [cv2.IMWRITE_JPEG_QUALITY, 80] if suffix == ".jpg" else [])[1]
    kind = "jpeg" if suffix == ".jpg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
