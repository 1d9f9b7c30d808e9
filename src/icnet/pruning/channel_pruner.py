"""Whole channels: structured pruning, with tied channels removed together."""

import math
from collections.abc import Collection, Iterable, Mapping

import keras
import numpy as np
from keras import layers

from icnet.base.errors import UsageError
from icnet.pruning.channels import NORMALISATIONS, analyse
from icnet.pruning.layers import MaskedBatchNormalization, MaskedConv2D
from icnet.pruning.masks import check_names, to_numpy

Block = tuple[str, np.ndarray]
"""Name of a group, and channels of it that are removed together."""


class ChannelPruner:
    """Masks whole output channels, the least important first.

    A channel is removed from every convolution that writes it (kernel and bias), from every batch normalisation on it, and
    from the kernels that read it, so it is truly zero in the masked network and `compact` can leave it out.

    The importance of a channel is the L2 norm of the kernels that write it (Li et al., "Pruning Filters for Efficient
    ConvNets", arXiv 1608.08710), taken over all convolutions of its group and divided by the group's mean, so that groups
    compare (Fang et al., "DepGraph", arXiv 2301.12900).

    The pruner keeps no state of its own: what is removed is read from the masks, and stays removed.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        keep: Mapping[str, int] | None = None,
        exclude: Collection[str] = (),
        channelwise: Iterable[type] = (),
        multiple_of: int = 8,
        minimum: int = 8,
    ):
        """Prune `model`, in place.

        Args:
            model: made by `maskable`, or built with the masked layers.
            keep: widths to end at, by the name of a group or of a convolution in it; groups without a name here stay whole.
                By default every group may shrink to `minimum`.
            exclude: names of convolutions that keep all their output channels and whose weights do not count.
            channelwise: as for `analyse`.
            multiple_of: a group's width is a multiple of this, unless `keep` says otherwise or nothing is removed from it.
            minimum: no group gets narrower than this by a ratio alone.

        Raises:
            UsageError: an argument is wrong, or the model has layers without masks.
        """
        if multiple_of < 1 or minimum < 1:
            raise UsageError(f"multiple_of is {multiple_of} and minimum is {minimum}, expected 1 or more")
        check_names(model, exclude)
        self.model, self.graph = model, analyse(model, channelwise=channelwise)
        self.layers = [entry.layer for entry in self.graph.layers.values() if not isinstance(entry.layer, layers.Dense)]
        self._check_masked()
        self._bounded, self._multiple = keep is not None, multiple_of
        self._least = self._least_widths(keep, frozenset(exclude), minimum)
        self._counted = [entry for entry in self.graph.convolutions if entry.layer.name not in exclude]
        self.total = sum(entry.kernel_weights() for entry in self._counted)
        """Kernel weights that a ratio is a share of."""

    def prune(self, ratio: float = 1.0) -> int:
        """Mask the least important channels until the share of kernel weights is reached, with the least excess.

        Args:
            ratio: share of `total` to be removed afterwards, 0 to 1, counted as `compact` will remove them. With `keep`,
                a share that its widths do not reach ends at exactly those widths.

        Returns:
            Number of removed kernel weights.

        Raises:
            UsageError: the ratio is out of range, or cannot be reached.
        """
        if not 0 <= ratio <= 1:
            raise UsageError(f"the ratio is {ratio}, expected 0 to 1: the share of kernel weights to remove")
        alive = self._alive()
        blocks = self._blocks(alive)
        wanted = math.ceil(ratio * self.total - 1e-6)  # a rounding error must not ask for one weight more
        low, high = 0, len(blocks)
        most = self._removed(_without(alive, blocks))
        if most < wanted:
            if not self._bounded:
                raise UsageError(
                    f"at most {most / self.total:.4f} of the kernel weights can be removed as channels, "
                    f"{ratio} was asked for: allow a smaller minimum, or exclude fewer layers"
                )
            low = high
        while low < high:  # the shortest list of blocks that is enough
            middle = (low + high) // 2
            low, high = (low, middle) if self._removed(_without(alive, blocks[:middle])) >= wanted else (middle + 1, high)
        alive = self._give_back(_without(alive, blocks[:low]), blocks[:low], wanted)
        self._mask(alive)
        return self._removed(alive)

    @property
    def widths(self) -> dict[str, int]:
        """Channels that are left, for every group."""
        alive = self._alive()
        return {name: int(alive[group.channels].sum()) for name, group in self.graph.groups.items()}

    def _check_masked(self) -> None:
        for layer in self.layers:
            if isinstance(layer, layers.DepthwiseConv2D):
                continue  # what it reads is masked, and so is the normalisation behind it
            kind = MaskedBatchNormalization if isinstance(layer, NORMALISATIONS) else MaskedConv2D
            frozen = not self.graph.layers[layer.name].outputs.any() and not self.graph.layers[layer.name].inputs.any()
            if not isinstance(layer, kind) and not frozen:
                raise UsageError(f"{layer.name} has no masks: give what maskable(model) returns")

    def _least_widths(self, keep: Mapping[str, int] | None, exclude: frozenset[str], minimum: int) -> dict[str, int]:
        full = {name: len(group.channels) for name, group in self.graph.groups.items()}
        least = {name: min(minimum, width) for name, width in full.items()} if keep is None else dict(full)
        asked: dict[str, tuple[int, str]] = {}
        for name, width in (keep or {}).items():
            group = self.graph.group_of(name)
            limit = full[group.name] if group else len(self.graph.layers[name].outputs)
            if not 1 <= width <= limit or (group is None and width != limit):
                raise UsageError(f"{name} is to keep {width} channels, expected {'1 to ' if group else ''}{limit}")
            if group:
                other = asked.setdefault(group.name, (width, name))
                if other[0] != width:
                    raise UsageError(
                        f"{other[1]} is to keep {other[0]} channels and {name} {width}, but they are tied: give them one width"
                    )
                least[group.name] = width
        for name, group in self.graph.groups.items():
            if exclude.intersection(group.producers):
                least[name] = full[name]
        return least

    def _alive(self) -> np.ndarray:
        """(graph.size,) bool: channels that some mask leaves."""
        alive = self.graph.none_alive()
        for layer in self.layers:
            outputs = self.graph.layers[layer.name].outputs
            if isinstance(layer, MaskedBatchNormalization):
                alive[outputs[to_numpy(layer.channel_mask) > 0]] = True
            elif isinstance(layer, MaskedConv2D):
                alive[outputs[to_numpy(layer.kernel_mask).any(axis=(0, 1, 2))]] = True
                if layer.use_bias:
                    alive[outputs[to_numpy(layer.bias_mask) > 0]] = True
        return alive

    def _importance(self) -> np.ndarray:
        """(graph.size,) float64: squared norms of the kernels that write a channel."""
        squares = np.zeros(self.graph.size)
        for entry in self.graph.convolutions:
            np.add.at(squares, entry.outputs, np.square(to_numpy(entry.layer.kernel), dtype=np.float64).sum(axis=(0, 1, 2)))
        return np.sqrt(squares)

    def _blocks(self, alive: np.ndarray) -> list[Block]:
        """What can be removed at a time, least important first: channels between one allowed width and the next."""
        importance = self._importance()
        scored: list[tuple[float, Block]] = []
        for name, group in self.graph.groups.items():
            living, least = group.channels[alive[group.channels]], self._least[name]
            relative = importance[living] / (importance[living].sum() / max(1, len(living)) or 1.0)
            order = np.argsort(relative, kind="stable")
            start = 0
            for width in range(len(living) - 1, least - 1, -1):
                if width % self._multiple and not (self._bounded and width == least):
                    continue
                chosen = order[start : len(living) - width]
                scored.append((float(relative[chosen].mean()), (name, living[chosen])))
                start = len(living) - width
        return [block for _, block in sorted(scored, key=lambda item: item[0])]

    def _removed(self, alive: np.ndarray) -> int:
        return self.total - sum(entry.kernel_weights(alive) for entry in self._counted)

    def _give_back(self, alive: np.ndarray, removed: list[Block], wanted: int) -> np.ndarray:
        """Restore what is not needed for `wanted`, most important first, in each group from the last removed on."""
        closed: set[str] = set()
        for name, channels in reversed(removed):
            if name in closed:
                continue
            trial = alive.copy()
            trial[channels] = True
            if self._removed(trial) >= wanted:
                alive = trial
            else:
                closed.add(name)
        return alive

    def _mask(self, alive: np.ndarray) -> None:
        for layer in self.layers:
            entry = self.graph.layers[layer.name]
            outputs = alive[entry.outputs].astype(np.uint8)
            if isinstance(layer, MaskedBatchNormalization):
                layer.channel_mask.assign(to_numpy(layer.channel_mask) * outputs)
            elif isinstance(layer, MaskedConv2D) and layer.groups == 1:
                inputs = alive[entry.inputs].astype(np.uint8)
                layer.kernel_mask.assign(to_numpy(layer.kernel_mask) * np.outer(inputs, outputs))
                if layer.use_bias:
                    layer.bias_mask.assign(to_numpy(layer.bias_mask) * outputs)


def _without(alive: np.ndarray, blocks: list[Block]) -> np.ndarray:
    alive = alive.copy()
    for _, channels in blocks:
        alive[channels] = False
    return alive
