"""The graph of `icnet-lite`, top to bottom: an EfficientNet-Lite trunk, pyramid pooling, and ICNet's cascade down to 1/4.

Sizes in the comments are fractions of the size that the trunk sees; widths are those of `LiteSpec()`.
"""

from typing import TypeVar

from icnet.network.ops import Heads, Ops
from icnet.network.resample import halved
from icnet.network.spec import LiteSpec

T = TypeVar("T")

DROP = 0.1
"""Stochastic depth: training leaves block i of n out with a probability of this times i/n."""

TRUNK = ("stem", "block")
"""How the names of the trunk's convolutions begin."""


def lite_logits(ops: Ops[T], data: T, spec: LiteSpec, size_hw: tuple[int, int], *, auxiliary: bool = False) -> Heads[T]:
    """The network on `data`; see `icnet.network.graph.logits`."""
    quarter, eighth, sixteenth = ((size_hw[0] // s, size_hw[1] // s) for s in (4, 8, 16))
    image = ops.normalise(data, spec.mean_bgr, spec.std_bgr)
    seen = (round(spec.scale * size_hw[0]), round(spec.scale * size_hw[1]))
    trunk = image if seen == size_hw else ops.resize(image, "trunk_image", seen)
    (x2, hw2), (x4, hw4), (x8, hw8), (x16, hw16), (x32, hw32) = _trunk(ops, trunk, spec, seen)  # 16, 24, 40, 112, 320

    # Pyramid pooling at 1/32 on the way to the width of the fused maps: Zhao et al., arXiv 1612.01105.
    width32, width16, width8, width4, width2 = spec.fusion
    levels = [ops.project(ops.pool(x32, f"pyramid_{bins}_pool", bins), f"pyramid_{bins}", width32) for bins in (1, 2, 3, 6)]
    levels = [ops.resize(level, f"pyramid_{bins}_up", hw32) for level, bins in zip(levels, (1, 2, 3, 6), strict=True)]
    x = ops.add([ops.conv(x32, "lateral32", width32, act="none"), *levels], "fusion32")  # 1/32, 64

    # Cascade: each map, made wider or narrower, into the finer one.
    x = _smooth(ops, x, "smooth32", width16, spec)
    fused16 = x = _fuse(ops, x, x16, "16", width16, hw16)  # 1/16, 64
    x = _smooth(ops, x, "smooth16", width8, spec)
    fused8 = x = _fuse(ops, x, x8, "8", width8, hw8)  # 1/8, 64
    x = _smooth(ops, x, "smooth8", width4, spec)
    x = _fuse(ops, x, x4, "4", width4, hw4)  # 1/4, 64
    at, width = hw4, width4
    if width2:
        at, width = hw2, width2
        x = _fuse(ops, _smooth(ops, x, "smooth4", width2, spec), x2, "2", width2, at)  # 1/2, 0

    x = _smooth(ops, x, "head", width, spec)
    full = _resized(ops, ops.project(x, "classifier", len(spec.classes)), "logits", at, quarter)  # 1/4 of the input, classes
    if not auxiliary:
        return Heads(full)
    heads = [(fused8, hw8, "eighth", eighth), (fused16, hw16, "sixteenth", sixteenth)]
    return Heads(
        full,
        *(
            _resized(ops, ops.project(fused, f"auxiliary_{name}", len(spec.classes)), f"logits_{name}", have, want)
            for fused, have, name, want in heads
        ),
    )


def _trunk(ops: Ops[T], image: T, spec: LiteSpec, size_hw: tuple[int, int]) -> list[tuple[T, tuple[int, int]]]:
    """The last maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of `size_hw`, each with its size.

    The blocks are MBConv: Sandler et al., "MobileNetV2", arXiv 1801.04381, section 3.3.
    """
    x, width, hw = ops.conv(image, "stem", spec.stem, 3, stride=2, act="relu6"), spec.stem, halved(size_hw)  # 1/2, 32
    maps = []
    for index, (inside, kernel, stride, outputs) in enumerate(spec.trunk):
        name = f"block{index + 1}"
        if stride == 2:
            maps.append((x, hw))
            hw = halved(hw)
        y = ops.conv(x, f"{name}_pointwise", inside, act="relu6") if inside else x
        y = ops.depthwise(y, f"{name}_depthwise", kernel, stride=stride, act="relu6")
        y = ops.conv(y, f"{name}_project", outputs, act="none")
        residual = stride == 1 and outputs == width
        x = ops.add([x, y], f"{name}_out", act="none", drop=DROP * index / len(spec.trunk)) if residual else y
        width = outputs
    return [*maps, (x, hw)]


def _smooth(ops: Ops[T], x: T, name: str, width: int, spec: LiteSpec) -> T:
    """A 3x3 convolution to `width`, in one piece or two."""
    if not spec.separable:
        return ops.conv(x, name, width, 3)
    return ops.conv(ops.depthwise(x, f"{name}_depthwise", 3, act="none"), f"{name}_pointwise", width)


def _fuse(ops: Ops[T], low: T, high: T, label: str, width: int, size_hw: tuple[int, int]) -> T:
    """The coarser map `low` of `width` channels, brought to the size of `high`, plus `high` brought to its width."""
    high = ops.conv(high, f"lateral{label}", width, act="none")
    return ops.add([ops.resize(low, f"up{label}", size_hw), high], f"fusion{label}")


def _resized(ops: Ops[T], x: T, name: str, have: tuple[int, int], want: tuple[int, int]) -> T:
    return x if have == want else ops.resize(x, name, want)
