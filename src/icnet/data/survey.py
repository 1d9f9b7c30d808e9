"""One look at a whole dataset before training."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from icnet.base.classes import NAMES
from icnet.base.sample import Dataset


@dataclass(frozen=True)
class Survey:
    """What a training run must know about its data."""

    counts: np.ndarray
    """(12,) int64 pixels per class."""
    digest: str
    """Of the samples' names and class counts in order: tells one dataset from another."""


def survey(dataset: Dataset) -> Survey:
    """Read every sample once, several at a time.

    Raises:
        DataError: a sample cannot be read.
    """

    def look(index: int) -> tuple[str, np.ndarray]:
        sample = dataset[index]
        return sample.name, np.bincount(sample.labels.ravel(), minlength=len(NAMES))

    with ThreadPoolExecutor() as pool:
        names, counts = zip(*pool.map(look, range(len(dataset))), strict=True)
    return Survey(np.sum(counts, axis=0), _digest(names, counts))


def _digest(names: tuple[str, ...], counts: tuple[np.ndarray, ...]) -> str:
    digest = hashlib.sha256("\n".join(names).encode())
    digest.update(np.stack(counts).astype("<i8").tobytes())
    return digest.hexdigest()[:16]
