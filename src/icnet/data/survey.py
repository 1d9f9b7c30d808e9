"""One look at a whole dataset before training."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from icnet.base.classes import OUTSIDE
from icnet.base.errors import DataError
from icnet.base.sample import Dataset


@dataclass(frozen=True)
class Survey:
    """What a training run must know about its data."""

    counts: np.ndarray
    """(C,) int64 pixels per class."""
    digest: str
    """Of the samples' names and class counts in order: tells one dataset from another."""


def survey(dataset: Dataset) -> Survey:
    """Read every sample once, several at a time.

    Raises:
        DataError: a sample cannot be read or holds labels that are no class, or no pixel of the whole dataset has a class that is
            scored.
    """
    table = dataset.classes

    def look(index: int) -> tuple[str, np.ndarray]:
        sample = dataset[index]
        counts = np.bincount(sample.labels.ravel(), minlength=OUTSIDE + 1)
        if odd := np.flatnonzero(counts[len(table) : OUTSIDE]).tolist():
            raise DataError(
                f"{sample.name} holds the label {odd[0] + len(table)}: expected 0 to {len(table) - 1}, or {OUTSIDE} where "
                "nothing is to be learnt"
            )
        return sample.name, counts[: len(table)]

    with ThreadPoolExecutor() as pool:
        names, counts = zip(*pool.map(look, range(len(dataset))), strict=True)
    total = np.sum(counts, axis=0)
    if not total[list(table.scored)].any():
        raise DataError(
            f"no pixel has one of the classes {', '.join(table.names[index] for index in table.scored)}: look at the masks"
        )
    return Survey(total, _digest(names, counts))


def _digest(names: tuple[str, ...], counts: tuple[np.ndarray, ...]) -> str:
    digest = hashlib.sha256("\n".join(names).encode())
    digest.update(np.stack(counts).astype("<i8").tobytes())
    return digest.hexdigest()[:16]
