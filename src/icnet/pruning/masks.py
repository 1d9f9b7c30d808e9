"""Plain layers to masked ones and back."""

from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np

from icnet.base.errors import UsageError
from icnet.pruning.layers import MaskedBatchNormalization, MaskedConv2D

_MASKED = {keras.layers.Conv2D: MaskedConv2D, keras.layers.BatchNormalization: MaskedBatchNormalization}
_PLAIN = {masked: plain for plain, masked in _MASKED.items()}


def maskable(model: keras.Model) -> keras.Model:
    """Copy a model so that its convolutions can be pruned.

    Conv2D and BatchNormalization become `MaskedConv2D` and `MaskedBatchNormalization` with nothing masked. Subclasses of
    the two and all other layers stay what they are. A layer that is called several times stays one layer.

    Args:
        model: a functional model without models inside it.

    Returns:
        A model with the same layer names, weights and outputs; compiled alike if `model` is.

    Raises:
        UsageError: the model is not functional, holds another model or LoRA weights, or a layer cannot be copied.
    """
    clone = rebuild(model, lambda layer: same(layer, _MASKED.get(type(layer))))
    for layer in model.layers:
        copy_weights(layer, clone.get_layer(layer.name))
    return clone


def strip(model: keras.Model) -> keras.Model:
    """Copy a model without masks: plain Keras layers again, with zeros written where weights are masked.

    The copy has the same layer names and outputs, and loads without this package.

    Raises:
        UsageError: as for `maskable`.
    """
    clone = rebuild(model, _plain)
    for layer in model.layers:
        target = clone.get_layer(layer.name)
        if type(layer) is MaskedConv2D:
            target.kernel.assign(layer.kernel)
            if layer.use_bias:
                target.bias.assign(layer.bias)
        elif type(layer) is MaskedBatchNormalization:
            _write_normalisation(layer, target)
        else:
            copy_weights(layer, target)
    return clone


def _plain(layer: keras.layers.Layer) -> keras.layers.Layer:
    if type(layer) is MaskedBatchNormalization and not to_numpy(layer.channel_mask).all():
        return keras.layers.BatchNormalization.from_config({**layer.get_config(), "scale": True})  # its zeros are the mask
    return same(layer, _PLAIN.get(type(layer)))


def _write_normalisation(masked: MaskedBatchNormalization, plain: keras.layers.BatchNormalization) -> None:
    channel_mask = to_numpy(masked.channel_mask)
    values = {variable.name: to_numpy(variable) for variable in masked.weights}
    values.setdefault("gamma", np.ones(channel_mask.shape, np.float32))
    for variable in plain.weights:
        value = values[variable.name]
        variable.assign(value * channel_mask if variable.name in ("gamma", "beta") else value)


def rebuild(model: keras.Model, make: Callable[[keras.layers.Layer], keras.layers.Layer]) -> keras.Model:
    """Copy a functional model's graph with every layer, once each, replaced by `make(layer)`; weights are fresh.

    Raises:
        UsageError: the model is not functional, holds another model, or a layer cannot be copied.
    """
    check_functional(model)
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x._keras_history.operation.name), model.input
    )  # Keras by itself would name the copies after the tensors, not after the layers
    clone = keras.models.clone_model(model, input_tensors=inputs, clone_function=make)
    clone.jit_compile = model.jit_compile
    return clone


def same(layer: keras.layers.Layer, kind: type[keras.layers.Layer] | None = None) -> keras.layers.Layer:
    """A new layer, or operation, of class `kind` (by default the layer's own) with the configuration of `layer`.

    Raises:
        UsageError: the layer does not describe itself.
    """
    try:
        copy = (kind or type(layer)).from_config(layer.get_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise UsageError(
            f"{layer.name} cannot be copied: expected {type(layer).__name__} to have get_config and from_config; add them"
        ) from error
    copy.name = layer.name  # a configuration that Keras derived by itself holds no automatic name
    return copy


def check_functional(model: keras.Model) -> None:
    """Refuse what has no graph of layers to look at.

    Raises:
        UsageError: the model is not functional, or holds another model or LoRA weights.
    """
    if isinstance(model, keras.Sequential) or not hasattr(model, "_nodes_by_depth"):
        raise UsageError(
            f"{model.name} is a {type(model).__name__}, not a functional model: give keras.Model(model.inputs, model.outputs)"
        )
    inner = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    if inner:
        raise UsageError(f"{model.name} holds the model {inner[0]} as a layer: call that model's layers directly instead")
    for layer in model.layers:
        if getattr(layer, "lora_enabled", False):
            raise UsageError(f"{layer.name} has LoRA weights, which are not known here: merge them into the kernel first")


def check_names(model: keras.Model, names: Collection[str]) -> None:
    """Refuse names of layers that `model` does not have.

    Raises:
        UsageError: names them.
    """
    unknown = sorted(set(names) - {layer.name for layer in model.layers})
    if unknown:
        raise UsageError(f"{model.name} has no layer {', '.join(unknown)}: give names out of model.layers")


def copy_weights(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Copy the weights that both have; masks come last in a layer, so what is left over are masks."""
    for variable, value in zip(target.weights, source.weights, strict=False):
        variable.assign(to_numpy(value))


def to_numpy(variable: Any) -> np.ndarray:
    """A copy of a variable's or tensor's value, on any backend.

    A true copy, because variables of two models must not share a buffer: on JAX, a compiled step gives the buffers of its
    own model up for reuse.
    """
    return np.array(keras.ops.convert_to_numpy(variable))
