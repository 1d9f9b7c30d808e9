"""Pruning while a network is trained: when, how much, and the narrow network that is left."""

from dataclasses import replace

import keras

from icnet.base.classes import Classes
from icnet.network.graph import convolutions
from icnet.network.keras_layers import GridPool, KerasOps, Resize, StochasticDepth
from icnet.network.keras_model import build
from icnet.network.keras_weights import get_weights, set_weights
from icnet.network.spec import IcnetSpec, preset
from icnet.network.weights import Weights
from icnet.pruning import ChannelPruner, PruningSchedule, WeightPruner, compact
from icnet.training.recipe import Pruning

_CHANNELWISE = (Resize, GridPool, StochasticDepth)
"""Our layers that treat every channel alone, which the pruner must know."""


class GradualPruning:
    """Removes weights or channels of a network with masked layers as the steps go by.

    What is removed is kept in the network's masks alone, so a run that goes on from a checkpoint goes on here too. The
    auxiliary heads are neither pruned nor counted: they are no part of the network that is used.
    """

    def __init__(self, network: keras.Model, classes: Classes, options: Pruning, total_steps: int):
        """Prune `network`, made by `build` with masked layers for these classes, in a run of `total_steps` steps.

        Raises:
            UsageError: the widths to reach do not fit the network.
            ModelError: they belong to no published network.
        """
        self._schedule = PruningSchedule(
            options.ratio, round(options.begin * total_steps), round(options.end * total_steps), every=options.every
        )
        self._ratio = 0.0
        auxiliary = [layer.name for layer in network.layers if layer.name.startswith("auxiliary")]
        self._target = replace(preset(options.widths), classes=classes) if options.granularity == "channel" else None
        self._pruner: WeightPruner | ChannelPruner
        if self._target is None:
            self._pruner = WeightPruner(network, exclude=auxiliary)
        else:
            keep = {conv.name: conv.kernel_shape[3] for conv in convolutions(self._target) if conv.groups == 1}
            self._pruner = ChannelPruner(network, keep=keep, exclude=auxiliary, channelwise=_CHANNELWISE)

    def due(self, step: int) -> bool:
        """Whether more is to be removed after step number `step` (from 1) than this object has removed."""
        return self._schedule.ratio_at(step) > self._ratio

    def restart(self) -> None:
        """The masks have changed otherwise, such as by a checkpoint: apply the schedule anew after the next step."""
        self._ratio = 0.0

    def reached(self, step: int) -> bool:
        """Whether all is removed after step number `step`."""
        return step >= self._schedule.end_step

    def prune(self, step: int) -> None:
        """Remove what is to be removed after step number `step`; the model's variables must be up to date."""
        self._ratio = self._schedule.ratio_at(step)
        widths = self._target is not None and self.reached(step)
        self._pruner.prune(1.0 if widths else self._ratio)  # given widths to keep, 1.0 stops at exactly those

    def compacted(self, weights: Weights) -> Weights | None:
        """The narrow network without the removed channels, which gives the same outputs; None if single weights are removed.

        `weights` are those of the network when all is removed, zero where it is masked.
        """
        if self._target is None:
            return None
        model = build(weights.spec, ops=KerasOps())
        set_weights(model, weights)
        narrow, _ = compact(model, channelwise=_CHANNELWISE)
        spec = replace(self._target, size_hw=weights.spec.size_hw)
        if isinstance(spec, IcnetSpec) and isinstance(weights.spec, IcnetSpec):
            spec = replace(spec, convolve_low=weights.spec.convolve_low)
        return replace(get_weights(narrow, spec), about=weights.about)
