"""How sure a mean IoU is: the bootstrap (Efron 1979) over pictures, or over drives where there are enough of them.

Frames of one drive resemble each other. Drawn as if each were a street of its own they make an interval that is too narrow for
another drive, so whole drives are drawn as soon as the names tell `LEAST` of them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from icnet.evaluation.scores import present_mean
from icnet.evaluation.tally import Tally

DRAWS, LEAST, SEED = 2000, 8, 0
"""Resamples; the fewest drives that are drawn whole; of the generator."""

_TOGETHER = 100
"""Resamples at a time, which bounds the memory."""


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with 95 % of the resamples, between their percentiles 2.5 and 97.5; NaN if it is nowhere."""

    low: float
    high: float
    over: Literal["pictures", "sequences"]
    """What was drawn."""
    units: int
    """How many of these there are."""


def draws(tally: Tally) -> tuple[Literal["pictures", "sequences"], int, Iterator[np.ndarray]]:
    """What is drawn, how many of it there are, and for each part of the resamples how often every picture counts.

    The third gives (draws, N) float64 arrays, the same for every tally of the same pictures, so that two models are compared on
    the same resamples.
    """
    groups = tally.sequences()
    count = int(groups.max(initial=-1)) + 1
    whole = LEAST <= count < len(tally)
    units = count if whole else len(tally)

    def parts() -> Iterator[np.ndarray]:
        generator = np.random.default_rng(SEED)
        for start in range(0, DRAWS, _TOGETHER):
            size = min(_TOGETHER, DRAWS - start)
            times = generator.multinomial(units, np.full(units, 1 / units), size).astype(np.float64)
            yield times[:, groups] if whole else times

    return ("sequences" if whole else "pictures"), units, parts()


def miou_interval(tally: Tally) -> Interval:
    """Of strict mIoU; classes that a resample's truth does not have are left out of its mean.

    Args:
        tally: of at least one picture.
    """
    over, units, parts = draws(tally)
    return percentiles(np.concatenate([present_mean(tally.iou(times)) for times in parts]), over, units)


def percentiles(values: np.ndarray, over: Literal["pictures", "sequences"], units: int) -> Interval:
    """The interval of resampled values, (draws,) float64; resamples without the figure (NaN) are left out."""
    known = values[~np.isnan(values)]
    low, high = np.percentile(known, (2.5, 97.5)) if known.size else (np.nan, np.nan)
    return Interval(float(low), float(high), over, units)
