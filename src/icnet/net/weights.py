"""Weights between a Keras model and the weight file."""

import keras
import numpy as np

from icnet.base.errors import ModelError
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
        found[name] = getattr(layer, attribute)
    return found


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Copy `weights` into a model that `build` made.

    Auxiliary heads that `weights` lacks keep their values.

    Raises:
        ModelError: a tensor is missing or of another shape.
    """
    for name, variable in _variables(model, weights.spec).items():
        if name not in weights.tensors:
            if name.startswith("auxiliary"):
                continue
            raise ModelError(f"the weights lack {name}: they belong to another network")
        if weights.tensors[name].shape != tuple(variable.shape):
            raise ModelError(
                f"{name} has shape {weights.tensors[name].shape}, the network expects {tuple(variable.shape)}: "
                "the weights belong to another network"
            )
        variable.assign(weights.tensors[name])


def get_weights(model: keras.Model, spec: IcnetSpec) -> Weights:
    """Copy the weights of a model that `build` made from `spec` into float32 arrays."""
    arrays = {
        name: np.asarray(keras.ops.convert_to_numpy(variable), np.float32) for name, variable in _variables(model, spec).items()
    }
    return Weights(spec, arrays)
