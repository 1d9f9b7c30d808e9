"""The ICNet graph, written once, top to bottom, for every engine.

`logits` walks the network through an `Ops` object; Keras layers, OpenVINO nodes and a plain counter each implement the
same few operations, so training, runtime and the printed figures cannot drift apart.

Sizes in the comments are fractions of the input size; widths are those of `IcnetSpec()`.
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from icnet.base.spec import IcnetSpec, check_size

T = TypeVar("T")

BN_EPSILON = 1e-3
"""Added to the variance in batch normalisation, as Keras does by default."""


class Ops(Protocol[T]):
    """What an engine must offer. All maps are NHWC; convolutions pad "same" as TensorFlow does."""

    def normalise(self, x: T, mean: tuple[float, ...], std: tuple[float, ...]) -> T:
        """(x - mean) / std per channel."""
        ...

    def conv(self, x: T, name: str, width: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, act: bool = True) -> T:
        """Convolution without bias, batch normalisation, and ReLU if `act`."""
        ...

    def classifier(self, x: T, name: str, classes: int) -> T:
        """1x1 convolution with bias and nothing after it."""
        ...

    def add_relu(self, xs: list[T], name: str, *, act: bool = True) -> T:
        """Sum of equal-shaped maps, then ReLU if `act`."""
        ...

    def max_pool(self, x: T, name: str) -> T:
        """3x3 maximum, stride 2, "same"."""
        ...

    def pyramid_level(self, x: T, name: str, bins: int) -> T:
        """Average over a `bins` x `bins` grid, resized bilinearly back to the size of `x`."""
        ...

    def resize(self, x: T, name: str, size_hw: tuple[int, int]) -> T:
        """Bilinear, half-pixel centres, no anti-aliasing."""
        ...


@dataclass(frozen=True)
class Heads(Generic[T]):
    """Class logits, NHWC with 12 channels."""

    full: T
    """At 1/4 of the input size: the output of the network."""
    eighth: T | None = None
    """At 1/8, in training only."""
    sixteenth: T | None = None
    """At 1/16, in training only."""


def _halve(size_hw: tuple[int, int]) -> tuple[int, int]:
    return -(-size_hw[0] // 2), -(-size_hw[1] // 2)


def _bottleneck(ops: Ops[T], x: T, name: str, widths: tuple[int, int], *, project: bool, stride: int = 1, dilation: int = 1) -> T:
    """Residual block 1x1-3x3-1x1 (He et al., arXiv 1512.03385); the first of a stage projects the shortcut."""
    inner, outer = widths
    y = ops.conv(x, f"{name}_reduce", inner, stride=stride)
    y = ops.conv(y, f"{name}_3x3", inner, 3, dilation=dilation)
    y = ops.conv(y, f"{name}_expand", outer, act=False)
    shortcut = ops.conv(x, f"{name}_shortcut", outer, stride=stride, act=False) if project else x
    return ops.add_relu([y, shortcut], f"{name}_out")


def _fuse(ops: Ops[T], low: T, high: T, name: str, spec: IcnetSpec, size_hw: tuple[int, int]) -> T:
    """Cascade feature fusion, section 3.3 of the ICNet paper: `low`, brought to the size `size_hw` of `high`, plus `high`."""
    if spec.convolve_low:
        low = ops.resize(ops.conv(low, f"{name}_low", spec.fusion, 3, act=False), f"{name}_low_up", size_hw)
    else:
        low = ops.conv(ops.resize(low, f"{name}_up", size_hw), f"{name}_low", spec.fusion, 3, dilation=2, act=False)
    high = ops.conv(high, f"{name}_high", spec.fusion, act=False)
    return ops.add_relu([low, high], f"{name}_out")


def logits(ops: Ops[T], data: T, spec: IcnetSpec, size_hw: tuple[int, int], *, auxiliary: bool = False) -> Heads[T]:
    """Build the network on `data`.

    Args:
        ops: the engine.
        data: (N, H, W, 3) BGR image, 0 to 255.
        spec: the widths.
        size_hw: H and W of `data`.
        auxiliary: also build the two classifiers that only training uses.

    Returns:
        The logits; `full` is (N, H/4, W/4, classes).

    Raises:
        UsageError: the size does not fit the strides.
    """
    check_size(size_hw)
    height, width = size_hw
    quarter, eighth, sixteenth = ((height // s, width // s) for s in (4, 8, 16))
    image = ops.normalise(data, spec.mean_bgr, spec.std_bgr)

    # Middle branch on the half-size image, shared with the coarse branch up to 1/16.
    x = ops.resize(image, "half", (height // 2, width // 2))  # 1/2, 3
    x = ops.conv(x, "stem1", spec.stem[0], 3, stride=2)  # 1/4, 64
    x = ops.conv(x, "stem2", spec.stem[1], 3)  # 1/4, 64
    x = ops.conv(x, "stem3", spec.stem[2], 3)  # 1/4, 128
    x = ops.max_pool(x, "stem_pool")  # 1/8, 128
    for block in range(spec.blocks[0]):
        x = _bottleneck(ops, x, f"stage2_{block + 1}", spec.stage2, project=block == 0)  # 1/8, 256
    middle = _bottleneck(ops, x, "stage3_1", spec.stage3, project=True, stride=2)  # 1/16, 512

    # Coarse branch: the rest of the residual network at 1/32, dilated instead of strided.
    x = ops.resize(middle, "coarse", _halve(sixteenth))  # 1/32, 512
    for block in range(1, spec.blocks[1]):
        x = _bottleneck(ops, x, f"stage3_{block + 1}", spec.stage3, project=False)  # 1/32, 512
    for block in range(spec.blocks[2]):
        x = _bottleneck(ops, x, f"stage4_{block + 1}", spec.stage4, project=block == 0, dilation=2)  # 1/32, 1024
    for block in range(spec.blocks[3]):
        x = _bottleneck(ops, x, f"stage5_{block + 1}", spec.stage5, project=block == 0, dilation=4)  # 1/32, 2048
    levels = [ops.pyramid_level(x, f"pyramid_{bins}", bins) for bins in (1, 2, 3, 6)]
    x = ops.add_relu([x, *levels], "pyramid_sum", act=False)  # 1/32, 2048
    coarse = ops.conv(x, "pyramid_reduce", spec.pyramid)  # 1/32, 512

    # Cascade: coarse into middle at 1/16, then into detail at 1/8.
    fused = _fuse(ops, coarse, middle, "fusion1", spec, sixteenth)  # 1/16, 256
    detail = image
    for index, channels in enumerate(spec.detail):
        detail = ops.conv(detail, f"detail{index + 1}", channels, 3, stride=2)  # 1/2, 1/4, 1/8; 64, 64, 128
    fine = _fuse(ops, fused, detail, "fusion2", spec, eighth)  # 1/8, 256

    # A 1x1 classifier and a bilinear resize commute, so classifying first saves a 256-channel map at 1/4.
    x = ops.classifier(fine, "classifier", spec.classes)  # 1/8, 12
    full = ops.resize(x, "logits", quarter)  # 1/4, 12
    if not auxiliary:
        return Heads(full)
    return Heads(
        full,
        eighth=ops.resize(ops.classifier(fused, "auxiliary_eighth", spec.classes), "logits_eighth", eighth),
        sixteenth=ops.resize(ops.classifier(coarse, "auxiliary_sixteenth", spec.classes), "logits_sixteenth", sixteenth),
    )


@dataclass(frozen=True)
class ConvShape:
    """One convolution of the inference graph."""

    name: str
    kernel_shape: tuple[int, int, int, int]
    """(height, width, input channels, output channels)."""
    multiply_adds: int
    """Multiplications, equal to the number of additions, for one image."""

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
        self, x: Shape, name: str, width: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, act: bool = True
    ) -> Shape:
        height, columns = -(-x[0] // stride), -(-x[1] // stride)
        shape = (kernel, kernel, x[2], width)
        self.convs.append(ConvShape(name, shape, kernel * kernel * x[2] * width * height * columns))
        return height, columns, width

    def classifier(self, x: Shape, name: str, classes: int) -> Shape:
        return self.conv(x, name, classes)

    def add_relu(self, xs: list[Shape], name: str, *, act: bool = True) -> Shape:
        assert len(set(xs)) == 1, f"{name}: {xs}"
        return xs[0]

    def max_pool(self, x: Shape, name: str) -> Shape:
        return (*_halve(x[:2]), x[2])

    def pyramid_level(self, x: Shape, name: str, bins: int) -> Shape:
        return x

    def resize(self, x: Shape, name: str, size_hw: tuple[int, int]) -> Shape:
        return (*size_hw, x[2])


def convolutions(spec: IcnetSpec, size_hw: tuple[int, int] | None = None, *, auxiliary: bool = False) -> list[ConvShape]:
    """Every convolution of the graph in order, for `size_hw` or the spec's own input size."""
    size_hw = size_hw or spec.size_hw
    counter = _Counter()
    logits(counter, (*size_hw, 3), spec, size_hw, auxiliary=auxiliary)
    return counter.convs
