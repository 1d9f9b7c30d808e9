"""Which channels of a model belong together: removing one from a residual stream removes it from every summand.

Every convolution starts new channels. Layers that treat channels alone carry them on, sums tie the channels of their
inputs, a concatenation lines them up, and whatever is not known here keeps its input's channels whole. What is tied is
found with union-find over single channels, so any mixture of sums and concatenations works. The idea is the dependency
graph of Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from icnet.base.errors import UsageError
from icnet.pruning.layers import MaskedBatchNormalization, MaskedConv2D
from icnet.pruning.masks import check_functional

FROZEN = 0
"""The channel that stands for all that must stay whole."""

CONVOLUTIONS = (layers.Conv2D, MaskedConv2D)
NORMALISATIONS = (layers.BatchNormalization, MaskedBatchNormalization)

_ZERO_TO_ZERO = {
    getattr(keras.activations, name)
    for name in (
        *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "silu", "gelu", "tanh", "hard_silu", "hard_tanh"),
        *("softsign", "tanh_shrink", "soft_shrink", "hard_shrink"),
    )
}

_CARRIES: dict[type, Callable[[layers.Layer], bool]] = {
    layers.Activation: lambda layer: _keeps_zero(layer.activation),
    layers.ReLU: lambda layer: layer.threshold == 0 or layer.negative_slope == 0,
    layers.Rescaling: lambda layer: np.ndim(layer.scale) == 0 and not np.any(layer.offset),
    layers.Resizing: lambda layer: not (layer.pad_to_aspect_ratio and layer.fill_value),
} | dict.fromkeys(
    (
        *(layers.LeakyReLU, layers.ELU, layers.Identity, layers.ActivityRegularization),
        *(layers.Dropout, layers.SpatialDropout2D, layers.GaussianDropout),
        *(layers.MaxPooling2D, layers.AveragePooling2D, layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D),
        *(layers.UpSampling2D, layers.ZeroPadding2D, layers.Cropping2D),
    ),
    lambda layer: True,
)
"""Layers that treat every channel alone and map zero to zero, if the condition holds."""

_MERGES = (layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum, layers.Average)
_MERGING_OPERATIONS = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
_CARRYING_OPERATIONS = ("Relu", "Relu6", "Silu", "Tanh")
"""What `x + y`, `keras.ops.relu(x)` and the like become; the classes have no public name."""


@dataclass(frozen=True)
class LayerChannels:
    """The channels that one Conv2D, DepthwiseConv2D, BatchNormalization or Dense layer reads and writes."""

    layer: layers.Layer
    inputs: np.ndarray
    """(input channels,) int64 channel numbers."""
    outputs: np.ndarray
    """(output channels,) int64 channel numbers."""
    positions: int | None
    """Places where a convolution's kernel is applied to one image, over all calls; None if the input size is open."""

    def kernel_weights(self, alive: np.ndarray | None = None) -> int:
        """Kernel weights of a convolution, all or those between living channels (`(graph.size,)` bool)."""
        inputs, outputs = (
            len(channels) if alive is None else int(alive[channels].sum()) for channels in (self.inputs, self.outputs)
        )
        return int(math.prod(self.layer.kernel_size) * inputs * outputs // self.layer.groups)


@dataclass(frozen=True)
class ChannelGroup:
    """Channels written by the same convolutions; each can be removed, from all of them at once."""

    name: str
    """The first of the convolutions, or all of them where that is ambiguous."""
    producers: tuple[str, ...]
    channels: np.ndarray
    """(width,) int64 channel numbers, in the order of the first convolution's outputs."""


@dataclass(frozen=True)
class ChannelGraph:
    """Result of `analyse`. A channel is a number; tied channels have the same one."""

    layers: dict[str, LayerChannels]
    groups: dict[str, ChannelGroup]
    size: int
    """Channel numbers are smaller than this."""

    @property
    def convolutions(self) -> list[LayerChannels]:
        """Those of the layers that are convolutions, in graph order."""
        return [entry for entry in self.layers.values() if isinstance(entry.layer, layers.Conv2D)]

    def none_alive(self) -> np.ndarray:
        """(size,) bool, to mark channels in: true for FROZEN alone."""
        return np.asarray(np.arange(self.size) == FROZEN)

    def group_of(self, name: str) -> ChannelGroup | None:
        """The group called `name`, or the one that holds all output channels of the convolution `name`.

        Returns:
            None if the convolution's channels must stay whole.

        Raises:
            UsageError: no such convolution, or it writes channels of several groups.
        """
        if name in self.groups:
            return self.groups[name]
        entry = self.layers.get(name)
        if entry is None or not isinstance(entry.layer, layers.Conv2D):
            raise UsageError(f"there is no convolution or channel group called {name}: choose one of {', '.join(self.groups)}")
        if (entry.outputs == FROZEN).all():
            return None
        within = [group for group in self.groups.values() if np.isin(entry.outputs, group.channels).any()]
        if len(within) > 1 or len(entry.outputs) != len(within[0].channels):
            names = ", ".join(group.name for group in within)
            raise UsageError(f"the channels of {name} are tied in parts to others: name the groups instead ({names})")
        return within[0]


def analyse(model: keras.Model, *, channelwise: Iterable[type] = ()) -> ChannelGraph:
    """Find the channel groups of a functional model.

    Frozen, which means kept whole, are the channels of the model's inputs and outputs, those that go into or come out of
    a layer that is not known here, grouped and transposed convolutions among them, and those behind an activation or a bias that
    does not map zero to zero. A depthwise convolution carries its channels on; its own weights are not counted, and go with
    them. A Dense layer reads channels (after global pooling) and writes frozen ones.

    Args:
        model: with Conv2D layers, channels last; masked or plain.
        channelwise: further layer classes that treat every channel alone and map zero to zero, without weights.

    Raises:
        UsageError: the model is not functional, holds another model, or has channels first.
    """
    check_functional(model)
    for layer in model.layers:
        if getattr(layer, "data_format", None) == "channels_first":
            raise UsageError(f"{layer.name} has its channels first: build the model with data_format channels_last")
    walk = _Walk(tuple(channelwise))
    for tensor in model.inputs:
        walk.channels[id(tensor)] = _frozen(tensor)
    for depth in sorted(model._nodes_by_depth, reverse=True):  # from the inputs on; Keras offers no public way
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                walk.visit(node)
    for tensor in model.outputs:
        walk.tie(walk.channels[id(tensor)], FROZEN)
    return walk.graph()


def _keeps_zero(activation: Any) -> bool:
    return any(activation is known for known in _ZERO_TO_ZERO)


def _is_channelwise(layer: layers.DepthwiseConv2D) -> bool:
    """Whether it maps every channel to one of its own, and zero to zero."""
    return layer.depth_multiplier == 1 and not layer.use_bias and _keeps_zero(layer.activation)


def _frozen(tensor: Any) -> np.ndarray:
    return np.full(tensor.shape[-1] or 0 if len(tensor.shape) > 1 else 0, FROZEN)


class _Walk:
    """One pass over the calls of a model's layers."""

    def __init__(self, channelwise: tuple[type, ...]):
        self.channelwise = channelwise
        self.channels: dict[int, np.ndarray] = {}  # id of a symbolic tensor to the channels of its last axis
        self.layers: dict[str, LayerChannels] = {}
        self._parents = [FROZEN]

    def _find(self, channel: int) -> int:
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def tie(self, first: np.ndarray, second: np.ndarray | int) -> None:
        """Make channels the same, pair by pair; the smaller number stays, so FROZEN wins."""
        for a, b in np.broadcast(first, second):
            a, b = sorted((self._find(int(a)), self._find(int(b))))
            self._parents[b] = a

    def _new(self, count: int) -> np.ndarray:
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def visit(self, node: Any) -> None:
        inputs = [self.channels[id(tensor)] for tensor in node.input_tensors]
        outputs = self._through(node, inputs)
        if outputs is None:
            for channels in inputs:
                self.tie(channels, FROZEN)
        for index, tensor in enumerate(node.outputs):
            self.channels[id(tensor)] = outputs if outputs is not None and index == 0 else _frozen(tensor)

    def _through(self, node: Any, inputs: list[np.ndarray]) -> np.ndarray | None:
        """The channels after a call, or None for what is not known."""
        layer, kind = node.operation, type(node.operation)
        if isinstance(layer, layers.Conv2D):
            return self._convolution(node, inputs)
        if len(inputs) == 1:
            if kind is layers.DepthwiseConv2D and _is_channelwise(layer):
                return self._record(layer, inputs[0], inputs[0]).outputs
            if kind in NORMALISATIONS and layer.axis in (-1, len(node.outputs[0].shape) - 1):
                return self._record(layer, inputs[0], inputs[0]).outputs
            if kind is layers.Dense and not layer.lora_enabled:
                return self._record(layer, inputs[0], _frozen(node.outputs[0])).outputs
            carries = kind in _CARRIES and _CARRIES[kind](layer)
            if carries or isinstance(layer, self.channelwise) or _is_operation(node, *_CARRYING_OPERATIONS):
                return inputs[0]
        if kind in _MERGES or _is_operation(node, *_MERGING_OPERATIONS):
            return self._merge(node, inputs)
        if kind is layers.Concatenate:
            last = layer.axis in (-1, len(node.outputs[0].shape) - 1)
            return np.concatenate(inputs) if last else self._merge(node, inputs)
        return None

    def _convolution(self, node: Any, inputs: list[np.ndarray]) -> np.ndarray:
        layer, shape = node.operation, node.outputs[0].shape
        known = type(layer) in CONVOLUTIONS and layer.groups == 1 and len(inputs) == 1
        if not known:
            self.tie(inputs[0], FROZEN)
        entry = self.layers.get(layer.name)
        outputs = entry.outputs if entry else self._new(layer.filters)
        if not known or not _keeps_zero(layer.activation):
            self.tie(outputs, FROZEN)
        return self._record(layer, inputs[0], outputs, positions=shape[1] * shape[2] if None not in shape[1:] else None).outputs

    def _record(
        self, layer: layers.Layer, inputs: np.ndarray, outputs: np.ndarray, *, positions: int | None = None
    ) -> LayerChannels:
        """Note a call; a layer that is called again has the same weights, so the channels of its calls are tied."""
        entry = self.layers.get(layer.name)
        if entry:
            self.tie(entry.inputs, inputs)
            positions = entry.positions + positions if entry.positions is not None and positions is not None else None
            outputs = entry.outputs
        self.layers[layer.name] = LayerChannels(layer, inputs, outputs, positions)
        return self.layers[layer.name]

    def _merge(self, node: Any, inputs: list[np.ndarray]) -> np.ndarray | None:
        shapes = {(len(tensor.shape), tensor.shape[-1]) for tensor in (*node.input_tensors, *node.outputs)}
        if len(shapes) > 1:  # broadcast over channels
            return None
        for channels in inputs[1:]:
            self.tie(inputs[0], channels)
        return inputs[0]

    def graph(self) -> ChannelGraph:
        """Replace every channel by the one that stands for those tied to it, and collect the groups."""
        roots = np.array([self._find(channel) for channel in range(len(self._parents))])
        entries = {
            name: LayerChannels(entry.layer, roots[entry.inputs], roots[entry.outputs], entry.positions)
            for name, entry in self.layers.items()
        }
        producers: dict[int, list[str]] = {}
        for name, entry in entries.items():
            if isinstance(entry.layer, layers.Conv2D):
                for channel in entry.outputs:
                    producers.setdefault(int(channel), []).append(name)
        producers.pop(FROZEN, None)
        alike: dict[tuple[str, ...], list[int]] = {}
        for channel, names in producers.items():
            alike.setdefault(tuple(names), []).append(channel)
        firsts = [names[0] for names in alike]
        groups = {}
        for together, members in alike.items():
            name = together[0] if firsts.count(together[0]) == 1 else "+".join(together)
            groups[name] = ChannelGroup(name, together, np.array(members))
        return ChannelGraph(entries, groups, len(roots))


def _is_operation(node: Any, *names: str) -> bool:
    """Whether a call is one of Keras's own operations on tensors only; a constant operand could be anything."""
    arguments, operation = node.arguments, node.operation
    tensors = len(arguments.args) == len(node.input_tensors) and not arguments.kwargs
    return tensors and type(operation).__module__.startswith("keras.src.ops.") and type(operation).__name__ in names
