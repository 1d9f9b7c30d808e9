"""The networks' graphs, written once for every engine.

`logits` walks a network through an `Ops` object; Keras layers, OpenVINO nodes, PyTorch functions and a plain counter each
implement the same few operations, so training, runtime and the printed figures cannot drift apart. The graphs themselves
stand in `icnet.network.icnet_graph` and `icnet.network.lite_graph`.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

from icnet.network.icnet_graph import icnet_logits
from icnet.network.lite_graph import TRUNK, lite_logits
from icnet.network.ops import Act, Heads, Ops
from icnet.network.resample import halved
from icnet.network.spec import LiteSpec, Spec, check_size

T = TypeVar("T")

BN_EPSILON = 1e-3
"""Added to the variance in batch normalisation, as Keras does by default."""


def logits(ops: Ops[T], data: T, spec: Spec, size_hw: tuple[int, int], *, auxiliary: bool = False) -> Heads[T]:
    """Build a network on `data`, (N, H, W, 3) BGR from 0 to 255.

    Args:
        ops: the engine.
        data: the images.
        spec: the widths.
        size_hw: H and W of `data`.
        auxiliary: also build the two classifiers that only training uses.

    Returns:
        The logits; `full` is (N, H/4, W/4, classes).

    Raises:
        UsageError: the size does not fit the strides.
    """
    check_size(size_hw)
    if isinstance(spec, LiteSpec):
        return lite_logits(ops, data, spec, size_hw, auxiliary=auxiliary)
    return icnet_logits(ops, data, spec, size_hw, auxiliary=auxiliary)


@dataclass(frozen=True)
class ConvShape:
    """One convolution of the inference graph."""

    name: str
    kernel_shape: tuple[int, int, int, int]
    """(height, width, input channels, output channels)."""
    multiply_adds: int
    """Multiplications, equal to the number of additions, for one image."""
    bias: bool = False
    """Whether a bias follows it, not a batch normalisation."""
    groups: int = 1
    """1, or for a depthwise convolution the number of channels; a kernel then has 1 input channel."""

    @property
    def kernel_weights(self) -> int:
        """Number of kernel weights."""
        height, width, inputs, outputs = self.kernel_shape
        return height * width * inputs * outputs


Shape = tuple[int, int, int]


class _Counter:
    """`Ops` on bare (height, width, channels) shapes; records every convolution."""

    def __init__(self) -> None:
        self.convs: list[ConvShape] = []

    def normalise(self, x: Shape, mean: tuple[float, ...], std: tuple[float, ...]) -> Shape:
        return x

    def conv(
        self, x: Shape, name: str, width: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, act: Act = "relu"
    ) -> Shape:
        return self._count(x, ConvShape(name, (kernel, kernel, x[2], width), 0), stride)

    def depthwise(self, x: Shape, name: str, kernel: int, *, stride: int = 1, act: Act = "relu") -> Shape:
        return self._count(x, ConvShape(name, (kernel, kernel, 1, x[2]), 0, groups=x[2]), stride)

    def project(self, x: Shape, name: str, width: int) -> Shape:
        return self._count(x, ConvShape(name, (1, 1, x[2], width), 0, bias=True), 1)

    def _count(self, x: Shape, conv: ConvShape, stride: int) -> Shape:
        height, columns = -(-x[0] // stride), -(-x[1] // stride)
        self.convs.append(replace(conv, multiply_adds=conv.kernel_weights * height * columns))
        return height, columns, conv.kernel_shape[3]

    def add(self, xs: list[Shape], name: str, *, act: Act = "relu", drop: float = 0.0) -> Shape:
        assert len(set(xs)) == 1, f"{name}: {xs}"
        return xs[0]

    def max_pool(self, x: Shape, name: str) -> Shape:
        return (*halved(x[:2]), x[2])

    def pool(self, x: Shape, name: str, bins: int) -> Shape:
        return bins, bins, x[2]

    def resize(self, x: Shape, name: str, size_hw: tuple[int, int]) -> Shape:
        return (*size_hw, x[2])


def convolutions(spec: Spec, size_hw: tuple[int, int] | None = None, *, auxiliary: bool = False) -> list[ConvShape]:
    """Every convolution of the graph in order, for `size_hw` or the spec's own input size."""
    size_hw = size_hw or spec.size_hw
    counter = _Counter()
    logits(counter, (*size_hw, 3), spec, size_hw, auxiliary=auxiliary)
    return counter.convs


def trunk_convolutions(spec: Spec) -> set[str]:
    """Names of the convolutions that a pretrained network can fill; none in ICNet."""
    if not isinstance(spec, LiteSpec):
        return set()
    return {conv.name for conv in convolutions(spec) if conv.name.startswith(TRUNK)}
