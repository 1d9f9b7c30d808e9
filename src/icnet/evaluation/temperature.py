"""Temperature scaling (Guo et al., arXiv 1706.04599): one number that makes a network as sure as it is right; no class changes.

It is fitted on pictures that the network has not learnt from. `icnet.network.weights.fold` puts it into the classifier, so every
engine, exported file and program that forms a confidence has it.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from icnet.base.classes import OUTSIDE
from icnet.base.sample import Dataset
from icnet.evaluation.accuracy import Network, scored_truth
from icnet.network.weights import Weights, temperature
from icnet.runtime.preprocess import resize_frame

COLDEST, HOTTEST = 0.05, 20.0
"""Limits of a fit: no sensible network comes near them, but one that is always right would be made ever colder."""

_PIXELS = 200_000
"""Of all pictures together, at most, drawn with a fixed seed."""

_HALVINGS = 40


def recalibrated(weights: Weights, dataset: Dataset, network: Network) -> Weights:
    """The same weights with the temperature that fits `dataset`, which they have not learnt from.

    Args:
        weights: what `network` runs, its temperature included.
        dataset: labelled pictures of its classes.
        network: one with logits.
    """
    fitted = temperature(weights) * fit_temperature(*_labelled_logits(dataset, network))
    return replace(weights, about=weights.about | {"temperature": round(float(np.clip(fitted, COLDEST, HOTTEST)), 4)})


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """What logits are to be divided by so that the negative log-likelihood of the labels is least; 1 without labels.

    It is convex in the inverse of the temperature, so its slope has one zero, which is found by halving.

    Args:
        logits: (N, C) float32.
        labels: (N,) integer class indices.
    """
    if not len(labels):
        return 1.0
    centred = logits - logits.max(axis=1, keepdims=True)
    true = float(centred[np.arange(len(labels)), labels].mean())
    low, high = np.log([1 / HOTTEST, 1 / COLDEST])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        powers = np.exp(np.exp(middle) * centred)
        expected = float(((powers * centred).sum(axis=1) / powers.sum(axis=1)).mean())
        low, high = (low, middle) if expected > true else (middle, high)
    return float(np.exp(-(low + high) / 2))


def _labelled_logits(dataset: Dataset, network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Logits and classes of labelled pixels: (N, C) float32 and (N,) uint8.

    They are taken at the logits' own size, with the truth resized to it by nearest neighbour. The decoder enlarges logits by sums
    with weights that do not depend on them, so one temperature means the same before and after.
    """
    generator, table = np.random.default_rng(0), network.classes
    share, found, known = max(1, _PIXELS // len(dataset)), [], []
    for index in range(len(dataset)):
        sample = dataset[index]
        logits = network.infer(resize_frame(sample.image, network.size_hw))[0]
        truth = cv2.resize(scored_truth(sample, table), logits.shape[:0:-1], interpolation=cv2.INTER_NEAREST).ravel()
        places = np.flatnonzero((truth != OUTSIDE) & (truth != (OUTSIDE if table.void is None else table.void)))
        chosen = generator.permutation(places)[:share]
        found.append(logits.reshape(len(logits), -1)[:, chosen].T.astype(np.float32))
        known.append(truth[chosen])
    return np.concatenate(found), np.concatenate(known)
