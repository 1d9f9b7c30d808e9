"""Removed channels to narrower layers and back."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers

from icnet.base.errors import UsageError
from icnet.pruning.channels import NORMALISATIONS, ChannelGraph, LayerChannels, analyse
from icnet.pruning.masks import copy_weights, rebuild, same, strip, to_numpy

Kept = Mapping[str, np.ndarray]
"""Name of a convolution to the indices of the output channels that it keeps, ascending."""


def compact(
    model: keras.Model, *, kept: Kept | None = None, channelwise: Iterable[type] = ()
) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """Rebuild a model without the channels that are always zero.

    Args:
        model: masked by `ChannelPruner`, or plain with such zeros; it stays as it is.
        kept: the output channels to keep, for every convolution; by default those that are not always zero.
        channelwise: as for `analyse`.

    Returns:
        A model of plain Keras layers with the same names and outputs, and the kept channels of every convolution.
        Of a layer without any living channel the first one is kept.

    Raises:
        UsageError: the model is not one that `analyse` takes, or `kept` does not fit it.
    """
    plain = strip(model)
    graph = analyse(plain, channelwise=channelwise)
    alive = living_channels(graph) if kept is None else _alive_from(graph, kept)

    def make(layer: layers.Layer) -> layers.Layer:
        if layer.name not in graph.layers or not isinstance(layer, layers.Conv2D):
            return same(layer)
        width = int(alive[graph.layers[layer.name].outputs].sum())
        return type(layer).from_config({**layer.get_config(), "filters": width})

    narrow = rebuild(plain, make)
    for layer in plain.layers:
        target, entry = narrow.get_layer(layer.name), graph.layers.get(layer.name)
        if entry is None or _is_frozen(entry):
            copy_weights(layer, target)
            continue
        for variable, value in zip(target.weights, layer.weights, strict=True):
            variable.assign(to_numpy(value)[_place(entry, alive, len(value.shape))])
    return narrow, {entry.layer.name: np.flatnonzero(alive[entry.outputs]) for entry in graph.convolutions}


def expand(narrow: keras.Model, wide: keras.Model, *, kept: Kept | None = None, channelwise: Iterable[type] = ()) -> keras.Model:
    """Write a narrow model's weights into the full-width graph, with zeros elsewhere: the inverse of `compact`.

    A channel that the narrow model lacks gets kernel, bias, gamma, beta and mean 0 and variance 1.

    Args:
        narrow: plain or masked.
        wide: a model with at least the width, whose layers with weights have the same names; it stays as it is, and its
            weights are not used.
        kept: where the narrow model's channels go, as `compact` returned them; by default the leading ones of each group.
        channelwise: as for `analyse`.

    Returns:
        A model of plain Keras layers as wide as `wide`, with the outputs of `narrow`.

    Raises:
        UsageError: the two do not belong together.
    """
    narrow, wide = strip(narrow), strip(wide)
    graph = analyse(wide, channelwise=channelwise)
    alive = _leading(graph, analyse(narrow, channelwise=channelwise)) if kept is None else _alive_from(graph, kept)
    ours, theirs = ([layer for layer in model.layers if layer.weights] for model in (wide, narrow))
    odd = sorted({layer.name for layer in ours} ^ {layer.name for layer in theirs})
    if odd:
        raise UsageError(f"{narrow.name} and {wide.name} differ in {', '.join(odd)}: expected two widths of the same network")
    for layer in ours:
        source, entry = narrow.get_layer(layer.name), graph.layers.get(layer.name)
        for variable, value in zip(layer.weights, source.weights, strict=True):
            place = ... if entry is None or _is_frozen(entry) else _place(entry, alive, len(variable.shape))
            full = np.full_like(to_numpy(variable), _is_spread(variable))
            if full[place].shape != tuple(value.shape):
                raise UsageError(
                    f"{layer.name}/{variable.name} has shape {tuple(value.shape)}, expected {full[place].shape}: "
                    f"{narrow.name} does not fit into {wide.name} there"
                )
            full[place] = to_numpy(value)
            variable.assign(full)
    return wide


def living_channels(graph: ChannelGraph) -> np.ndarray:
    """Find the channels that are not always zero, by the values of a plain model's weights: (graph.size,) bool.

    A channel is dead if every convolution that writes it has only zeros there and every normalisation on it maps zero to
    zero. Of a group that is dead as a whole the first channel counts as living, because a layer needs one.
    """
    alive = graph.none_alive()
    for entry in graph.layers.values():
        if isinstance(entry.layer, layers.Conv2D):
            alive[entry.outputs[to_numpy(entry.layer.kernel).any(axis=(0, 1, 2))]] = True
            if entry.layer.use_bias:
                alive[entry.outputs[to_numpy(entry.layer.bias) != 0]] = True
        elif isinstance(entry.layer, NORMALISATIONS):
            alive[entry.outputs[_moves_zero(entry.layer)]] = True
    for group in graph.groups.values():
        if not alive[group.channels].any():
            alive[group.channels[0]] = True
    return alive


def _moves_zero(norm: layers.BatchNormalization) -> np.ndarray:
    """Whether beta - gamma * mean / sqrt(variance) can differ from zero, per channel."""
    moves = (to_numpy(norm.gamma) != 0 if norm.scale else True) & (to_numpy(norm.moving_mean) != 0)
    return np.asarray(moves | (to_numpy(norm.beta) != 0) if norm.center else moves)


def _place(entry: LayerChannels, alive: np.ndarray, rank: int) -> Any:
    """Index of the living part of a layer's variable: kernels end in (in, out), depthwise ones in (in, 1), all others are per
    output channel."""
    if rank == 1:
        return (alive[entry.outputs],)
    if isinstance(entry.layer, layers.DepthwiseConv2D):
        return (slice(None), slice(None), alive[entry.inputs])
    return (..., *np.ix_(alive[entry.inputs], alive[entry.outputs]))


def _is_frozen(entry: LayerChannels) -> bool:
    return not entry.inputs.any() and not entry.outputs.any()  # FROZEN is 0; grouped convolutions are always so


def _is_spread(variable: keras.Variable) -> bool:
    return any(word in variable.name for word in ("variance", "stddev"))


def _alive_from(graph: ChannelGraph, kept: Kept) -> np.ndarray:
    alive = graph.none_alive()
    for entry in graph.convolutions:
        name = entry.layer.name
        if name not in kept:
            raise UsageError(f"the kept channels lack {name}: give those that compact returned for this network")
        indices = np.asarray(kept[name], int)
        if not ((indices >= 0) & (indices < len(entry.outputs))).all():
            raise UsageError(f"the kept channels of {name} go up to {indices.max()}, but it has {len(entry.outputs)} channels")
        alive[entry.outputs[indices]] = True
    for entry in graph.convolutions:
        if not np.array_equal(np.flatnonzero(alive[entry.outputs]), np.asarray(kept[entry.layer.name])):
            raise UsageError(
                f"the kept channels of {entry.layer.name} contradict those of layers that are tied to it: "
                "give what compact returned for this network"
            )
    return alive


def _leading(wide: ChannelGraph, narrow: ChannelGraph) -> np.ndarray:
    """The first channels of every group of `wide`, as many as `narrow` has."""
    alive = wide.none_alive()
    for name, group in wide.groups.items():
        if name in narrow.groups:
            alive[group.channels[: len(narrow.groups[name].channels)]] = True
    return alive
