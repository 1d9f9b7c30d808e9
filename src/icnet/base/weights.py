"""The weight file: safetensors, fp16 kernels, with the network's description inside.

Tensors are named `<convolution>/kernel` (height, width, in, out), `<convolution>/gamma|beta|mean|variance` (out,) and,
for a classifier, `<convolution>/bias` (out,). The metadata key `icnet` holds JSON: `spec` (`IcnetSpec.to_dict`) and
`about` (free facts: recipe, mIoU, data, licence). Nothing in the file can run code.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as _serialize

from icnet.base.errors import ModelError
from icnet.base.files import write_bytes
from icnet.base.network import BN_EPSILON, convolutions
from icnet.base.spec import IcnetSpec

_NORM = ("gamma", "beta", "mean", "variance")


@dataclass(frozen=True)
class Weights:
    """A network's numbers and what they belong to."""

    spec: IcnetSpec
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
        """(height, width, in, out) float32 kernel with the scale multiplied in; its zeros are those of the file."""
        return self.stored * self.scale


def fold(weights: Weights) -> dict[str, FoldedConv]:
    """Turn batch normalisation into a scale and a bias of each convolution."""
    folded = {}
    for conv in convolutions(weights.spec):
        kernel = weights.tensors[f"{conv.name}/kernel"]
        bias = weights.tensors.get(f"{conv.name}/bias")
        scale: np.ndarray = np.ones(kernel.shape[3], np.float32)
        if bias is None:
            gamma, beta, mean, variance = (weights.tensors[f"{conv.name}/{part}"] for part in _NORM)
            scale = gamma / np.sqrt(variance + BN_EPSILON)
            bias = beta - mean * scale
        folded[conv.name] = FoldedConv(kernel, scale.astype(np.float32), bias.astype(np.float32))
    return folded


def random_weights(spec: IcnetSpec, seed: int = 0) -> Weights:
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


def expected_shapes(spec: IcnetSpec, *, auxiliary: bool = False) -> dict[str, tuple[int, ...]]:
    """Tensor name to shape, in graph order."""
    shapes: dict[str, tuple[int, ...]] = {}
    for conv in convolutions(spec, auxiliary=auxiliary):
        shapes[f"{conv.name}/kernel"] = conv.kernel_shape
        parts = ("bias",) if conv.name.startswith(("classifier", "auxiliary")) else _NORM
        shapes.update({f"{conv.name}/{part}": (conv.kernel_shape[3],) for part in parts})
    return shapes


def save_weights(path: Path, weights: Weights) -> str:
    """Write a weight file: kernels as fp16, everything else as fp32, in one atomic step.

    Returns:
        The file's SHA-256 in hexadecimal.
    """
    tensors = {
        name: np.ascontiguousarray(array, np.float16 if name.endswith("/kernel") else np.float32)
        for name, array in weights.tensors.items()
    }
    header = json.dumps({"spec": weights.spec.to_dict(), "about": weights.about}, sort_keys=True)
    data = _serialize(tensors, metadata={"icnet": header})
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def load_weights(path: Path, *, sha256: str | None = None) -> Weights:
    """Read a weight file.

    Args:
        path: a file that `save_weights` wrote.
        sha256: refuse the file unless it has this checksum.

    Returns:
        float32 tensors.

    Raises:
        ModelError: the file is missing, damaged, or not a network of this project.
    """
    if not path.is_file():
        raise ModelError(f"no weight file at {path}: give a model name or the path of a .safetensors file")
    if sha256 is not None:
        found = file_sha256(path)
        if found != sha256:
            raise ModelError(f"{path} is damaged (SHA-256 {found[:12]}..., expected {sha256[:12]}...): install icnet again")
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("icnet", "null"))
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118, not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a readable weight file ({error}): expected safetensors written by icnet") from error
    if not isinstance(header, dict) or not isinstance(header.get("spec"), dict):
        raise ModelError(f"{path} does not say which network it holds: expected safetensors written by icnet")
    try:
        spec = IcnetSpec.from_dict(header["spec"])
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    for name, shape in expected_shapes(spec).items():
        if name not in tensors or tensors[name].shape != shape:
            raise ModelError(f"{path} does not fit its own description at {name}: the file is incomplete, make it anew")
    about = header.get("about")
    return Weights(spec, tensors, about if isinstance(about, dict) else {})


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
