"""Weights between a Keras model and the weight file."""

import hashlib
from dataclasses import dataclass, replace

import keras
import numpy as np

from icnet.base.errors import ModelError
from icnet.network.sparse import to_half
from icnet.network.spec import Spec
from icnet.network.weights import Weights, expected_shapes

_NORM_VARIABLES = {"gamma": "gamma", "beta": "beta", "mean": "moving_mean", "variance": "moving_variance"}

_MASKS = {"kernel": "kernel_mask", "bias": "bias_mask", "gamma": "channel_mask", "beta": "channel_mask"}
"""What a layer calls the mask of a part of its tensors."""


@dataclass(frozen=True)
class Part:
    """A tensor of the weight file in a model.

    The two differ in depthwise kernels only: (height, width, channels, 1) in Keras, (height, width, 1, channels) in the file.
    """

    variable: keras.Variable
    depthwise: bool = False

    def read(self, variable: keras.Variable | None = None) -> np.ndarray:
        """The value as the file has it, of this variable or of one that belongs to it, such as its average."""
        return self._turned(np.asarray(keras.ops.convert_to_numpy(self.variable if variable is None else variable)))

    def write(self, array: np.ndarray, variable: keras.Variable | None = None) -> None:
        """Inverse of `read`."""
        (self.variable if variable is None else variable).assign(self._turned(array))

    def _turned(self, array: np.ndarray) -> np.ndarray:
        return array.swapaxes(2, 3) if self.depthwise else array

    @property
    def shape(self) -> tuple[int, ...]:
        """In the file."""
        shape = tuple(self.variable.shape)
        return (*shape[:2], shape[3], shape[2]) if self.depthwise else shape


def variables(model: keras.Model, spec: Spec) -> dict[str, Part]:
    """Tensor name of the weight file to the model's variable, for every layer that the model has.

    Raises:
        ModelError: the model has convolutions that `spec` lacks, or the other way round.
    """
    layers = {layer.name: layer for layer in model.layers}
    inside = {name for name, layer in layers.items() if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)}
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
        depthwise = part == "kernel" and isinstance(layer, keras.layers.DepthwiseConv2D)
        found[name] = Part(getattr(layer, attribute), depthwise)
    return found


def masks(model: keras.Model, spec: Spec) -> dict[str, np.ndarray]:
    """1 for what is there and 0 for what is removed, by tensor name; of kernels' weights, of biases, or of the channels that a
    normalisation scales and shifts. Only tensors that have a mask."""
    found = {}
    for name in variables(model, spec):
        conv, part = name.rsplit("/", 1)
        layer = model.get_layer(conv if part in ("kernel", "bias") else f"{conv}_norm")
        mask = getattr(layer, _MASKS.get(part, ""), None)
        if mask is not None:
            found[name] = np.asarray(keras.ops.convert_to_numpy(mask))
    return found


def set_weights(model: keras.Model, weights: Weights) -> None:
    """Copy `weights` into a model of the same network that `build` made, with plain or masked layers.

    Auxiliary heads that `weights` lacks keep their values.

    Raises:
        ModelError: a tensor is missing or of another shape.
    """
    for name, part in variables(model, weights.spec).items():
        if name not in weights.tensors:
            if name.startswith("auxiliary"):
                continue
            raise ModelError(f"the weights lack {name}: they belong to another network")
        tensor = weights.tensors[name]
        if tensor.shape != part.shape:
            raise ModelError(
                f"{name} has shape {tensor.shape}, the network expects {part.shape}: the weights belong to another network"
            )
        part.write(tensor)


def get_weights(model: keras.Model, spec: Spec) -> Weights:
    """Copy the weights of a model that `build` made from `spec` into float32 arrays, zero where a mask removed them."""
    tensors = {name: part.read().astype(np.float32) for name, part in variables(model, spec).items()}
    for name, mask in masks(model, spec).items():
        tensors[name] = np.where(mask, tensors[name], np.float32(0))
    return Weights(spec, tensors)


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
