"""The weight file: safetensors, fp16 kernels, with the network's description inside.

Tensors are named `<convolution>/kernel` (height, width, in, out), `<convolution>/gamma|beta|mean|variance` (out,) and,
for a classifier, `<convolution>/bias` (out,). A kernel with many zeros lies there as `<convolution>/kernel.mask` and
`<convolution>/kernel.values` instead, see `icnet.network.sparse`; readers get it whole. The metadata key `icnet` holds
JSON: `spec` (`NetworkSpec.to_dict`), `about` (free facts: recipe, mIoU, data, licence) and the digest of
`icnet.network.stored`. Nothing in the file can run code.
"""

import hashlib
import json
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as _deserialize
from safetensors.numpy import save as _serialize

from icnet.base.errors import ModelError
from icnet.base.files import write_bytes
from icnet.network.graph import BN_EPSILON, convolutions
from icnet.network.sparse import pack, to_half, unpack
from icnet.network.spec import Spec, spec_from_dict
from icnet.network.stored import BLANK, MARK, Stored, read_stored, sealed

_CLASSIFIER = "classifier"
_NORM = ("gamma", "beta", "mean", "variance")


@dataclass(frozen=True)
class Weights:
    """A network's numbers and what they belong to."""

    spec: Spec
    tensors: dict[str, np.ndarray]
    """Name to float32 array; see the module's description for the names."""
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FoldedConv:
    """A convolution and the affine map that is left of its batch normalisation."""

    stored: np.ndarray
    """(height, width, in, out) float32: the kernel of the weight file."""
    scale: np.ndarray
    """(out,) float32, to multiply the output with."""
    bias: np.ndarray
    """(out,) float32, to add after that."""

    @property
    def kernel(self) -> np.ndarray:
        """(height, width, in, out) float32 kernel with the scale multiplied in.

        Where the scale of a dead channel is 0 it is 0 too, even where `stored` is not: see `kernel_keeps_zeros`.
        """
        return np.asarray(self.stored * self.scale)

    @property
    def kernel_keeps_zeros(self) -> bool:
        """Whether `kernel` has exactly the zeros of `stored`, which are the ones that count as pruned."""
        return bool(np.count_nonzero(self.kernel) == np.count_nonzero(self.stored))


def fold(weights: Weights) -> dict[str, FoldedConv]:
    """Turn batch normalisation into a scale and a bias of each convolution, the temperature into those of the classifier."""
    folded = {}
    for conv in convolutions(weights.spec):
        kernel = weights.tensors[f"{conv.name}/kernel"]
        bias = weights.tensors.get(f"{conv.name}/bias")
        scale: np.ndarray = np.ones(kernel.shape[3], np.float32)
        if bias is None:
            gamma, beta, mean, variance = (weights.tensors[f"{conv.name}/{part}"] for part in _NORM)
            scale = gamma / np.sqrt(variance + BN_EPSILON)
            bias = beta - mean * scale
        if conv.name == _CLASSIFIER:
            scale, bias = scale / temperature(weights), bias / temperature(weights)
        folded[conv.name] = FoldedConv(kernel, scale.astype(np.float32), bias.astype(np.float32))
    return folded


def temperature(weights: Weights) -> float:
    """What the logits are divided by, so that confidence is what it says; 1 if the weights do not tell or tell nonsense.

    See `icnet.evaluation.temperature`. The classes stay the same.
    """
    told = weights.about.get("temperature")
    return float(told) if isinstance(told, int | float) and isfinite(told) and told > 0 else 1.0


def calibrated(weights: Weights) -> Weights:
    """The same weights with their temperature in the classifier's numbers, for engines that do not `fold`."""
    cooled = {name: weights.tensors[name] / temperature(weights) for name in (f"{_CLASSIFIER}/kernel", f"{_CLASSIFIER}/bias")}
    about = {key: value for key, value in weights.about.items() if key != "temperature"}
    return replace(weights, tensors={**weights.tensors, **cooled}, about=about)


def kernel_zeros(weights: Weights) -> int:
    """Zeros among the kernel weights of the inference graph; auxiliary heads are not part of it."""
    kernels = [weights.tensors[f"{conv.name}/kernel"] for conv in convolutions(weights.spec)]
    return sum(kernel.size - int(np.count_nonzero(kernel)) for kernel in kernels)


def random_weights(spec: Spec, seed: int = 0) -> Weights:
    """Untrained weights (He normal kernels), auxiliary classifiers included; for tests and for timing."""
    generator = np.random.default_rng(seed)
    tensors = {}
    for name, shape in expected_shapes(spec, auxiliary=True).items():
        part = name.rsplit("/", 1)[1]
        if part == "kernel":
            fan_in = shape[0] * shape[1] * shape[2]
            values = generator.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / fan_in))
            tensors[name] = values.astype(np.float16).astype(np.float32)  # as a weight file holds them
        else:
            tensors[name] = np.full(shape, 1 if part in ("gamma", "variance") else 0, np.float32)
    return Weights(spec, tensors, {"trained": False})


def expected_shapes(spec: Spec, *, auxiliary: bool = False) -> dict[str, tuple[int, ...]]:
    """Tensor name to shape, in graph order."""
    shapes: dict[str, tuple[int, ...]] = {}
    for conv in convolutions(spec, auxiliary=auxiliary):
        shapes[f"{conv.name}/kernel"] = conv.kernel_shape
        parts = ("bias",) if conv.bias else _NORM
        shapes.update({f"{conv.name}/{part}": (conv.kernel_shape[3],) for part in parts})
    return shapes


def save_weights(path: Path, weights: Weights) -> str:
    """Write a weight file: kernels as fp16, packed where they have many zeros, everything else as fp32, in one atomic step.

    A kernel of the file has exactly the zeros of the kernel given: see `icnet.network.sparse.to_half` for the rounding.

    Returns:
        The file's SHA-256 in hexadecimal.

    Raises:
        ModelError: a value is not finite or, in a kernel, too large for fp16.
        OutputError: the file cannot be written.
    """
    tensors: dict[str, np.ndarray] = {}
    for name, array in weights.tensors.items():
        try:
            tensors |= pack(name, to_half(array)) if name.endswith("/kernel") else {name: _finite(array)}
        except ValueError as error:
            raise ModelError(f"cannot save {name}: it {error}; train again with a lower learning rate") from error
    header = json.dumps({"spec": weights.spec.to_dict(), "about": weights.about, MARK: BLANK}, sort_keys=True)
    data = sealed(_serialize(tensors, metadata={"icnet": header}))
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def _finite(array: np.ndarray) -> np.ndarray:
    """Contiguous float32.

    Raises:
        ValueError: a value is not finite.
    """
    array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError("holds values that are not finite")
    return array


def load_weights(path: Path) -> Weights:
    """Read a weight file that `save_weights` wrote; see `parse_weights`."""
    return parse_weights(read_stored(path))


def parse_weights(stored: Stored) -> Weights:
    """What a weight file holds.

    Returns:
        float32 tensors.

    Raises:
        ModelError: the file is damaged, or not a network of this project.
    """
    path = stored.path
    try:
        arrays = _deserialize(stored.data)
        header = json.loads(_metadata(stored.data).get("icnet", "null"))
        odd = {str(array.dtype) for array in arrays.values()} - {"float16", "float32", "uint8"}
        if odd:  # whether NumPy knows bfloat16 depends on what else was imported
            raise ValueError(f"it holds {min(odd)} numbers")
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:  # KeyError: a number format that NumPy lacks
        raise ModelError(f"{path} is not a readable weight file ({error}): expected safetensors written by icnet") from error
    if not isinstance(header, dict) or not isinstance(header.get("spec"), dict):
        raise ModelError(f"{path} does not say which network it holds: expected safetensors written by icnet")
    try:
        spec = spec_from_dict(header["spec"])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    try:
        tensors = unpack(arrays, expected_shapes(spec, auxiliary=True))
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}; get or make the file anew") from error
    for name, shape in expected_shapes(spec).items():
        if name not in tensors or tensors[name].shape != shape:
            raise ModelError(f"{path} does not fit its own description at {name}: the file is incomplete, make it anew")
        if not np.isfinite(tensors[name]).all():
            raise ModelError(f"{path} is damaged: {name} holds values that are not finite; get or make the file anew")
    about = header.get("about")
    return Weights(spec, tensors, about if isinstance(about, dict) else {})


def _metadata(data: bytes) -> dict[str, str]:
    """Of a file that safetensors has found whole."""
    size = int.from_bytes(data[:8], "little")
    found: dict[str, str] = json.loads(data[8 : 8 + size]).get("__metadata__", {})
    return found
