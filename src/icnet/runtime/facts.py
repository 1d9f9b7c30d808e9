"""The figures of a model, counted from its graph and its file, never from a constant."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite, prod
from typing import Any

import numpy as np

from icnet.base.classes import Classes
from icnet.base.errors import ModelError
from icnet.network.graph import ConvShape, convolutions
from icnet.network.registry import SHA256, is_ir, read_model
from icnet.network.spec import DENSE, PRESETS
from icnet.network.stored import Stored
from icnet.network.weights import parse_weights

ABOUT_MODEL = ("miou_strict", "miou_omz", "temperature", "scored", "answers_unlabeled", "data", "pretrained", "licence")
"""Facts that a weight file tells about itself, passed on as they are."""

KernelShape = tuple[int, int, int, int]
"""(height, width, input channels, output channels)."""


@dataclass(frozen=True)
class LayerFacts:
    """One convolution, beside the one of the same name in the dense network; None where there is none."""

    name: str
    kernel_shape: KernelShape
    kernel_weights: int
    kernel_zeros: int | None
    """None where only a file could tell and there is no file."""
    sparsity: float | None
    """`kernel_zeros` / `kernel_weights`."""
    mflops: float
    """10^6 multiplications and additions for one image; zeros count like any other weight, since engines multiply by them."""
    dense_kernel_shape: KernelShape | None
    dense_mflops: float | None
    """At the input size of this model."""


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
    dense_kernel_weights: int
    """`kernel_weights` of the dense network, `icnet-camvid-ava-0001`."""
    removed: float
    """Share of the dense network's kernel weights that this one does not have, zeros not counted; below 0 if it is larger."""
    gflops: float
    """10^9 multiplications and additions of the convolutions for one image of the model's input size."""
    bytes: int | None
    """Size on disk; of an IR, both files."""
    sha256: str | None
    """Of the file; of an IR, of the .xml followed by the .bin."""
    about: dict[str, Any]
    """Accuracy and licence, as far as the file tells them, and where it was `pulled` from, with the commit."""
    layers: tuple[LayerFacts, ...]
    """Every convolution of the inference graph, in order."""
    size_hw: tuple[int, int]
    """H and W of the input."""
    classes: Classes

    def to_dict(self, *, layers: bool = False) -> dict[str, Any]:
        """One document, ready for JSON; flat but for `size`, `classes` and, if wanted, the list `layers`."""
        apart = ("about", "layers", "size_hw", "classes")
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in apart}
        values |= self.about | {
            "size": dict(zip(("height", "width"), self.size_hw, strict=True)),
            "classes": self.classes.to_dict(),
        }
        return values | ({"layers": [asdict(layer) for layer in self.layers]} if layers else {})


def model_facts(model: str) -> Facts:
    """Count a model.

    Args:
        model: a published name (its weights need not be bundled), a `.safetensors` or an `.xml` path, or `hf://USER/NAME[@REVISION]`.

    Raises:
        ModelError: there is no such model, its file is damaged, or an IR does not take and give what this project's do.
    """
    if model in PRESETS and model not in SHA256:
        spec = PRESETS[model]
        return _facts(model, spec.size_hw, spec.classes, [(conv, None) for conv in convolutions(spec)], None, {})
    stored = read_model(model)
    facts = _ir_facts(stored) if is_ir(str(stored.path)) else _weight_facts(stored)
    return replace(facts, about=facts.about | {"pulled": stored.origin}) if stored.origin else facts


def _weight_facts(stored: Stored) -> Facts:
    weights = parse_weights(stored)
    counted = [(conv, _zeros(weights.tensors[f"{conv.name}/kernel"])) for conv in convolutions(weights.spec)]
    return _facts(weights.spec.name, weights.spec.size_hw, weights.spec.classes, counted, stored, weights.about)


def _zeros(array: np.ndarray) -> int:
    return int(array.size - np.count_nonzero(array))


def _facts(
    name: str,
    size_hw: tuple[int, int],
    classes: Classes,
    counted: Sequence[tuple[ConvShape, int | None]],
    stored: Stored | None,
    about: dict[str, Any],
) -> Facts:
    """Sum up convolutions and their zeros, which are None if there is no file to count them in."""
    dense = {conv.name: conv for conv in convolutions(DENSE, size_hw)}
    if any(conv.groups > 1 for conv, _ in counted):  # another family, of which some layers are called alike
        dense = {}
    layers = tuple(_layer(conv, zeros, dense.get(conv.name)) for conv, zeros in counted)
    kernel_weights, dense_weights = (sum(conv.kernel_weights for conv in convs) for convs in (layers, convolutions(DENSE)))
    kernel_zeros = sum(zeros for _, zeros in counted if zeros is not None) if stored else None
    return Facts(
        model=name,
        parameters=kernel_weights + sum(layer.kernel_shape[3] for layer in layers),
        kernel_weights=kernel_weights,
        kernel_zeros=kernel_zeros,
        sparsity=None if kernel_zeros is None else kernel_zeros / kernel_weights,
        dense_kernel_weights=dense_weights,
        removed=1 - kernel_weights / dense_weights,
        gflops=2 * sum(conv.multiply_adds for conv, _ in counted) / 1e9,
        bytes=stored.bytes if stored else None,
        sha256=stored.sha256 if stored else None,
        about={key: about[key] for key in ABOUT_MODEL if _is_plain(about.get(key))},
        layers=layers,
        size_hw=size_hw,
        classes=classes,
    )


def _is_plain(value: object) -> bool:
    """Whether it is one text or finite number; a foreign file may tell anything."""
    return isinstance(value, str | int) or (isinstance(value, float) and isfinite(value))


def _layer(conv: ConvShape, zeros: int | None, dense: ConvShape | None) -> LayerFacts:
    return LayerFacts(
        name=conv.name,
        kernel_shape=conv.kernel_shape,
        kernel_weights=conv.kernel_weights,
        kernel_zeros=zeros,
        sparsity=None if zeros is None else zeros / conv.kernel_weights,
        mflops=2 * conv.multiply_adds / 1e6,
        dense_kernel_shape=dense.kernel_shape if dense else None,
        dense_mflops=2 * dense.multiply_adds / 1e6 if dense else None,
    )


def _ir_facts(stored: Stored) -> Facts:
    from icnet.network.openvino_model import convolution_nodes, kernel_constant
    from icnet.runtime.ir import check_contract, read_about, read_classes, read_ir

    network, path = read_ir(stored), stored.path
    _, size_hw = check_contract(network, path)
    counted = []
    for node in convolution_nodes(network):
        try:
            kernel = kernel_constant(node).data
            *groups, outputs, inputs, height, width = kernel.shape
            _, _, *out_hw = node.output(0).shape
        except (RuntimeError, ValueError) as error:  # a kernel that is computed or not 2-D, or a size that is not fixed
            raise ModelError(
                f"{path} has a convolution that cannot be counted, {node.get_friendly_name()}: expected a model exported by icnet"
            ) from error
        shape = (height, width, inputs, outputs * prod(groups))
        conv = ConvShape(node.get_friendly_name(), shape, prod(shape) * prod(out_hw), groups=prod(groups))
        counted.append((conv, _zeros(kernel)))
    if not counted:
        raise ModelError(f"{path} has no convolution: expected a model exported by icnet")
    return _facts(path.stem, size_hw, read_classes(network, path), counted, stored, read_about(network))
