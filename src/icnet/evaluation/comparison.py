"""Two models on the same pictures: what got better or worse, and whether that is more than luck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from icnet.evaluation.interval import Interval, draws, percentiles
from icnet.evaluation.scores import present_mean
from icnet.evaluation.tally import Tally

SHOWN = 10
"""Pictures that a comparison names on either side."""


@dataclass(frozen=True)
class Change:
    """A figure of the first model less that of the second, in fractions."""

    difference: float
    interval: Interval
    """Of the difference, both models on the same resamples (paired)."""

    @property
    def sure(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return self.interval.low > 0 or self.interval.high < 0


@dataclass(frozen=True)
class Comparison:
    """How the first of two models differs from the second."""

    miou: Change
    classes: tuple[Change, ...]
    """IoU of each scored class; NaN where the truth does not have it."""
    better: tuple[tuple[str, float], ...]
    """The pictures with the largest gains in mean IoU over their own classes, and the gains, greatest first."""
    worse: tuple[tuple[str, float], ...]
    """Those with the largest losses, as negative numbers, greatest loss first."""


def compare(first: Tally, second: Tally) -> Comparison:
    """Set two models side by side.

    Args:
        first: of the model in question.
        second: of the other one, on the same pictures in the same order and with the same scored classes.

    Raises:
        ValueError: they are not.
    """
    if first.names != second.names or first.hits.shape != second.hits.shape:
        raise ValueError("two models can be compared on the same pictures and classes only")
    over, units, parts = draws(first)
    means, by_class = [], []
    for times in parts:
        one, other = first.iou(times), second.iou(times)
        means.append(present_mean(one) - present_mean(other))
        by_class.append(one - other)
    one, other = first.iou(), second.iou()
    resampled = np.concatenate(by_class)
    changes = [
        Change(float(difference), percentiles(column, over, units))
        for difference, column in zip(one - other, resampled.T, strict=True)
    ]
    whole = Change(float(present_mean(one) - present_mean(other)), percentiles(np.concatenate(means), over, units))
    better, worse = _pictures(first, second)
    return Comparison(whole, tuple(changes), better, worse)


def _pictures(first: Tally, second: Tally) -> tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]:
    gains = first.per_picture() - second.per_picture()
    order = [int(index) for index in np.argsort(-gains, kind="stable") if not np.isnan(gains[index])]
    named = [(first.names[index], float(gains[index])) for index in order]
    better = tuple(entry for entry in named[:SHOWN] if entry[1] > 0)
    worse = tuple(entry for entry in named[::-1][:SHOWN] if entry[1] < 0)
    return better, worse
