"""The same network in wider layers: a narrow network's weights are the leading channels of a wide one, the rest is dead.

A dead channel has zero kernel weights in and out and a batch normalisation that gives zero, so that every map of the wide
network holds the narrow one's map followed by zeros. This is channel pruning written as zeros, and back.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from icnet.base.errors import ModelError
from icnet.network.spec import LiteSpec, Spec
from icnet.network.weights import Weights, expected_shapes

_FIXED = ("family", "blocks", "scale", "separable", "classes", "mean_bgr", "std_bgr")
"""Fields of the spec, other than widths, on which the outputs depend."""


def _fixed(spec: Spec) -> dict[str, Any]:
    """Everything but widths on which the outputs depend."""
    fixed = {name: getattr(spec, name, None) for name in _FIXED}
    if isinstance(spec, LiteSpec):
        inputs = [spec.stem, *(outputs for *_, outputs in spec.trunk)]
        fixed["trunk"] = tuple(
            (inside > 0, kernel, stride, stride == 1 and outputs == width)
            for (inside, kernel, stride, outputs), width in zip(spec.trunk, inputs, strict=False)
        )
        fixed["fusion"] = spec.fusion[4] > 0
    return fixed


def widen(weights: Weights, spec: Spec) -> Weights:
    """Write a network into a wider one that gives the same outputs, or nearly so if they differ in `convolve_low`.

    Args:
        weights: the narrow network, with or without auxiliary heads; it becomes the leading channels.
        spec: the wide network; it differs in widths, name and input size only. Dead channels get variance 1 and else zeros.

    Raises:
        ModelError: `spec` is narrower somewhere, or differs in something else.
    """
    shapes = _matching(weights, spec)
    tensors = {}
    for name, array in weights.tensors.items():
        wide = np.full(shapes[name], name.endswith("/variance"), np.float32)
        wide[_leading(name, array.shape, wide.shape, spec)] = array
        tensors[name] = wide
    return replace(weights, spec=spec, tensors=tensors)


def narrow(weights: Weights, spec: Spec) -> Weights:
    """Cut the dead channels off: the inverse of `widen`.

    Means and variances of dead channels may have any value, since nothing depends on them.

    Args:
        weights: the wide network, whose live channels all come first.
        spec: the narrow network; it differs in widths, name and input size only.

    Raises:
        ModelError: a weight that would be cut off is not zero, `spec` is wider somewhere, or differs in something else.
    """
    shapes = _matching(weights, spec)
    tensors = {}
    for name, array in weights.tensors.items():
        leading = _leading(name, shapes[name], array.shape, weights.spec)
        cut = array.copy()
        cut[leading] = 0
        if not name.endswith(("/mean", "/variance")) and cut.any():
            raise ModelError(
                f"{weights.spec.name} does not fit into the widths of {spec.name}: {np.count_nonzero(cut)} weights of {name} "
                "outside them are not zero; remove the channels by pruning first"
            )
        tensors[name] = array[leading].copy()
    return replace(weights, spec=spec, tensors=tensors)


def _matching(weights: Weights, spec: Spec) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors of `spec`, which must be the network of `weights` but for its widths."""
    given, wanted = _fixed(weights.spec), _fixed(spec)
    for field in given | wanted:
        have, want = given.get(field), wanted.get(field)
        if have != want:
            raise ModelError(
                f"{weights.spec.name} and {spec.name} differ in {field} ({have!s:.40} and {want!s:.40}): "
                "only widths can be changed, choose a network that is equal otherwise"
            )
    shapes = expected_shapes(spec, auxiliary=True)
    missing, odd = expected_shapes(spec).keys() - weights.tensors.keys(), weights.tensors.keys() - shapes.keys()
    if missing or odd:
        raise ModelError(f"the weights of {weights.spec.name} do not fit its description at {min(missing | odd)}: make them anew")
    return shapes


def _leading(name: str, part: tuple[int, ...], whole: tuple[int, ...], wide: Spec) -> tuple[slice, ...]:
    """Where an array of shape `part` begins one of shape `whole`."""
    if len(part) != len(whole) or any(few > many for few, many in zip(part, whole, strict=True)):
        raise ModelError(f"{wide.name} is not the wider network at {name} ({part} into {whole}): choose one with wider layers")
    return tuple(slice(size) for size in part)
