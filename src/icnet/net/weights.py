"""Weights between a Keras model and the weight file."""

import hashlib
from dataclasses import replace

import keras
import numpy as np

from icnet.base.errors import ModelError
from icnet.base.sparse import to_half
from icnet.base.spec import IcnetSpec
from icnet.base.weights import Weights, expected_shapes

_NORM_VARIABLES = {"gamma": "gamma", "beta": "beta", "mean": "moving_mean", "variance": "moving_variance"}


def _variables(model: keras.Model, spec: IcnetSpec) -> dict[str, keras.Variable]:
    """Tensor name of the weight file to the model's variable, for every layer that the model has.

    Raises:
        ModelError: the model has convolutions that `spec` lacks, or the other way round.
    """
    layers = {layer.name: layer for layer in model.layers}
    inside = {name for name, layer in layers.items() if isinstance(layer, keras.layers.Conv2D)}
    expected = {name.rsplit("/", 1)[0] for name in expected_shapes(spec, auxiliary=any("auxiliary" in name for name in inside))}
    if inside != expected:
        raise ModelError(
            f"the network and the weights differ in {', '.join(sorted(inside ^ expected))}: they do not belong together"
        )
    found = {}
    for name in expected_shapes(spec, auxiliary=True):
        conv, part = name.rsplit("/", 1)
        if conv not in layers:
            continue  # an auxiliary head in an inference graph
        layer, attribute = (layers[conv], part) if part in ("kernel", "bias") else (layers[f"{conv}_norm"], _NORM_VARIABLES[part])
        if hasattr(layer, "kernel_mask"):
            attribute = f"stored_{part}"  # the variable; `kernel` is its product with the mask
        found[name] = getattr(layer, attribute)
    return found


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Copy `weights` into a model that `build` made.

    Auxiliary heads that `weights` lacks keep their values.

    Args:
        model: with plain or masked layers.
        weights: of the same network.

    Raises:
        ModelError: a tensor is missing or of another shape.
    """
    for name, variable in _variables(model, weights.spec).items():
        if name not in weights.tensors:
            if name.startswith("auxiliary"):
                continue
            raise ModelError(f"the weights lack {name}: they belong to another network")
        tensor = weights.tensors[name]
        if tensor.shape != tuple(variable.shape):
            raise ModelError(
                f"{name} has shape {tensor.shape}, the network expects {tuple(variable.shape)}: "
                "the weights belong to another network"
            )
        variable.assign(tensor)


def get_weights(model: keras.Model, spec: IcnetSpec) -> Weights:
    """Copy the weights of a model that `build` made from `spec` into float32 arrays, zero where a mask removed them."""
    tensors = {}
    for name, variable in _variables(model, spec).items():
        tensor = np.asarray(keras.ops.convert_to_numpy(variable), np.float32)
        conv, part = name.rsplit("/", 1)
        mask = _mask(model, conv, part)
        tensors[name] = tensor if mask is None else np.where(keras.ops.convert_to_numpy(mask), tensor, np.float32(0))
    return Weights(spec, tensors)


def _mask(model: keras.Model, conv: str, part: str) -> keras.Variable | None:
    """The mask of a tensor: of a kernel's weights, or of the channels that a normalisation scales and shifts."""
    if part == "kernel":
        return getattr(model.get_layer(conv), "kernel_mask", None)
    if part in ("gamma", "beta"):
        return getattr(model.get_layer(f"{conv}_norm"), "channel_mask", None)
    return None


def as_stored(weights: Weights) -> Weights:
    """The weights as `load_weights` will give them after `save_weights`: kernels rounded to fp16.

    Raises:
        ModelError: a kernel has a value that is not finite or too large for fp16.
    """
    tensors = dict(weights.tensors)
    for name, tensor in weights.tensors.items():
        if name.endswith("/kernel"):
            try:
                tensors[name] = to_half(tensor).astype(np.float32)
            except ValueError as error:
                raise ModelError(f"{name} {error}; train again with a lower learning rate") from error
    return replace(weights, tensors=tensors)


def digest(weights: Weights) -> str:
    """A short hash of every tensor, which tells one trained network from another."""
    digest = hashlib.sha256()
    for name in sorted(weights.tensors):
        digest.update(name.encode() + weights.tensors[name].tobytes())
    return digest.hexdigest()[:16]
