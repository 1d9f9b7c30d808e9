"""The figures of a model, counted from its graph and its file, never from a constant."""

import hashlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from icnet.base.errors import ModelError
from icnet.base.network import ConvShape, convolutions
from icnet.base.registry import SHA256, bundled_path, find_weights
from icnet.base.spec import PRESETS

_ABOUT = ("miou_strict", "miou_omz", "data", "licence")
"""Facts that a weight file tells about itself, passed on as they are."""


@dataclass(frozen=True)
class Facts:
    """What a model is; None where only its file could tell and there is no file."""

    model: str
    parameters: int
    """Kernel weights plus one bias per output channel, after folding batch normalisation."""
    kernel_weights: int
    """Weights of all convolution kernels of the inference graph."""
    kernel_zeros: int | None
    """How many of them are exactly zero."""
    sparsity: float | None
    """`kernel_zeros` / `kernel_weights`."""
    gflops: float
    """10^9 multiplications and additions of the convolutions for one image of the model's input size."""
    bytes: int | None
    """Size on disk; of an IR, both files."""
    sha256: str | None
    """Of the file; of an IR, of the .xml followed by the .bin."""
    about: dict[str, Any]
    """Accuracy and licence, as far as the file tells them."""

    def to_dict(self) -> dict[str, Any]:
        """One flat document, ready for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "about"}
        return values | self.about


def model_facts(model: str) -> Facts:
    """Count a model.

    Args:
        model: a published name (its weights need not be bundled), a `.safetensors` or an `.xml` path.

    Raises:
        ModelError: there is no such model, its file is damaged, or an IR does not take and give what this project's do.
    """
    if Path(model).suffix == ".xml":
        return _ir_facts(Path(model))
    if model in PRESETS and model not in SHA256:
        return _facts(model, convolutions(PRESETS[model]), None, [], {})
    weights = find_weights(model)
    file = Path(model) if Path(model).suffix == ".safetensors" else bundled_path(model)
    convs = convolutions(weights.spec)
    zeros = sum(_zeros(weights.tensors[f"{conv.name}/kernel"]) for conv in convs)
    about = {key: weights.about[key] for key in _ABOUT if key in weights.about}
    return _facts(weights.spec.name, convs, zeros, [file], about)


def _zeros(array: np.ndarray) -> int:
    return int(array.size - np.count_nonzero(array))


def _facts(name: str, convs: list[ConvShape], zeros: int | None, files: list[Path], about: dict[str, Any]) -> Facts:
    kernel_weights = sum(conv.kernel_weights for conv in convs)
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return Facts(
        model=name,
        parameters=kernel_weights + sum(conv.kernel_shape[3] for conv in convs),
        kernel_weights=kernel_weights,
        kernel_zeros=zeros,
        sparsity=None if zeros is None else zeros / kernel_weights,
        gflops=2 * sum(conv.multiply_adds for conv in convs) / 1e9,
        bytes=sum(file.stat().st_size for file in files) if files else None,
        sha256=digest.hexdigest() if files else None,
        about=about,
    )


def _ir_facts(path: Path) -> Facts:
    from icnet.runtime.engine import check_contract, read_ir

    network = read_ir(path)
    check_contract(network, path)
    convs, zeros = [], 0
    for node in network.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            try:
                kernel = _constant(node.input_value(1).get_node())
                outputs, inputs, height, width = kernel.shape
                _, _, *out_hw = node.output(0).shape
            except (RuntimeError, ValueError) as error:  # a kernel that is computed or not 2-D, or a size that is not fixed
                raise ModelError(
                    f"{path} has a convolution that cannot be counted, {node.get_friendly_name()}: "
                    "expected a model exported by icnet"
                ) from error
            shape = (height, width, inputs, outputs)
            convs.append(ConvShape(node.get_friendly_name(), shape, prod(shape) * prod(out_hw)))
            zeros += _zeros(kernel)
    if not convs:
        raise ModelError(f"{path} has no convolution: expected a model exported by icnet")
    return _facts(path.stem, convs, zeros, [path, path.with_suffix(".bin")], {})


def _constant(node: Any) -> np.ndarray:
    """Values of a kernel, behind the conversions that fp16 and int8 storage put between it and its convolution.

    A zero is a zero in every one of them: scales are not zero, and quantised kernels are symmetric.
    """
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return node.data
