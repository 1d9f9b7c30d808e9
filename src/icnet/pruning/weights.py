"""Single weights: unstructured pruning by magnitude."""

from collections.abc import Collection
from itertools import pairwise
from typing import Literal, get_args

import keras
import numpy as np

from icnet.base.errors import UsageError
from icnet.pruning.layers import MaskedConv2D
from icnet.pruning.masks import check_names, to_numpy

Scope = Literal["global", "layer"]


class WeightPruner:
    """Masks the convolution weights of the smallest magnitude (Han et al., arXiv 1506.02626), to the exact number.

    The pruner keeps no state of its own: what is masked is read from the layers, and stays masked.
    """

    def __init__(self, model: keras.Model, *, scope: Scope = "global", exclude: Collection[str] = ()):
        """Prune `model`, in place.

        Args:
            model: made by `maskable`, or built with `MaskedConv2D`.
            scope: "global" compares all weights with each other, "layer" removes the same share of every layer.
            exclude: names of layers that are neither pruned nor counted.

        Raises:
            UsageError: an argument is wrong, or there is nothing to prune.
        """
        if scope not in get_args(Scope):
            raise UsageError(f"unknown scope {scope!r}: choose one of {', '.join(get_args(Scope))}")
        check_names(model, exclude)
        self.model, self.scope = model, scope
        self.layers = [layer for layer in model.layers if isinstance(layer, MaskedConv2D) and layer.name not in exclude]
        if not self.layers:
            raise UsageError(f"{model.name} has no masked convolution to prune: give what maskable(model) returns")
        self._sizes = [int(np.prod(layer.kernel_mask.shape)) for layer in self.layers]
        self.total = sum(self._sizes)
        """Kernel weights of the layers that are pruned."""

    def prune(self, ratio: float | None = None, *, count: int | None = None) -> int:
        """Mask the smallest weights; of equal ones, those of earlier layers and lower index.

        Args:
            ratio: share of `total` to be masked afterwards, 0 to 1: `round(ratio * total)` weights.
            count: the same as a number of weights; give one of the two.

        Returns:
            Number of masked weights: the number asked for, or what it was before if that is more.

        Raises:
            UsageError: not exactly one of the two is given, or it is out of range.
        """
        count = self._count(ratio, count)
        scores = np.concatenate([self._score(layer) for layer in self.layers])  # one array: a global order in one pass
        starts = np.cumsum([0, *self._sizes])
        spans = [slice(start, stop) for start, stop in pairwise(starts)]
        masked = [int(np.count_nonzero(scores[span] < 0)) for span in spans]
        if count <= sum(masked):
            return sum(masked)
        if self.scope == "global":
            chosen = _smallest(scores, count)
        else:
            quotas = share(count, self._sizes, at_least=masked)
            chosen = np.concatenate([_smallest(scores[span], quota) for span, quota in zip(spans, quotas, strict=True)])
        for layer, span in zip(self.layers, spans, strict=True):
            layer.kernel_mask.assign((~chosen[span]).astype(np.uint8).reshape(layer.kernel_mask.shape))
        return count

    def _count(self, ratio: float | None, count: int | None) -> int:
        if (ratio is None) == (count is None):
            raise UsageError("prune takes either a ratio or a count: give one of them")
        if ratio is not None:
            if not 0 <= ratio <= 1:
                raise UsageError(f"the ratio is {ratio}, expected 0 to 1: the share of weights to mask")
            return round(ratio * self.total)
        assert count is not None
        if not 0 <= count <= self.total:
            raise UsageError(f"the count is {count}, expected 0 to {self.total}: the number of weights to mask")
        return count

    @staticmethod
    def _score(layer: MaskedConv2D) -> np.ndarray:
        """Magnitudes as flat float32, -1 where a weight is masked, so that it is chosen again."""
        magnitude = np.abs(to_numpy(layer.stored_kernel).astype(np.float32, copy=False))
        return np.where(to_numpy(layer.kernel_mask), magnitude, np.float32(-1)).ravel()


def _smallest(scores: np.ndarray, count: int) -> np.ndarray:
    """Boolean array that is true at the `count` smallest; the first of equal ones."""
    if count == 0:
        return np.zeros(scores.shape, bool)
    limit = np.partition(scores, count - 1)[count - 1]
    chosen: np.ndarray = scores < limit
    ties = np.flatnonzero(scores == limit)
    chosen[ties[: count - np.count_nonzero(chosen)]] = True
    return chosen


def share(count: int, sizes: list[int], *, at_least: list[int]) -> list[int]:
    """Split `count` in proportion to `sizes`, exactly: what rounding down leaves goes to the largest remainders.

    Parts that hold more than their share already (`at_least`) keep that, and the others share the rest.
    """
    parts = list(at_least)
    free = list(range(len(sizes)))
    while free:
        rest, total = count - sum(parts[i] for i in range(len(sizes)) if i not in free), sum(sizes[i] for i in free)
        quotas = {i: rest * sizes[i] // total for i in free}
        by_remainder = sorted(free, key=lambda i: (-(rest * sizes[i] % total), i))
        for i in by_remainder[: rest - sum(quotas.values())]:
            quotas[i] += 1
        over = [i for i in free if quotas[i] < at_least[i]]
        if not over:
            for i, quota in quotas.items():
                parts[i] = quota
            break
        free = [i for i in free if i not in over]
    return parts
