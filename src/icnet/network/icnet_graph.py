"""ICNet's graph, top to bottom: Zhao et al., arXiv 1704.08545.

Sizes in the comments are fractions of the input size; widths are those of `IcnetSpec()`.
"""

from typing import TypeVar

from icnet.network.ops import Heads, Ops
from icnet.network.resample import halved
from icnet.network.spec import IcnetSpec

T = TypeVar("T")


def _bottleneck(ops: Ops[T], x: T, name: str, widths: tuple[int, int], *, project: bool, stride: int = 1, dilation: int = 1) -> T:
    """Residual block 1x1-3x3-1x1 (He et al., arXiv 1512.03385); the first of a stage projects the shortcut."""
    inner, outer = widths
    y = ops.conv(x, f"{name}_reduce", inner, stride=stride)
    y = ops.conv(y, f"{name}_3x3", inner, 3, dilation=dilation)
    y = ops.conv(y, f"{name}_expand", outer, act="none")
    shortcut = ops.conv(x, f"{name}_shortcut", outer, stride=stride, act="none") if project else x
    return ops.add([y, shortcut], f"{name}_out")


def _fuse(ops: Ops[T], low: T, high: T, name: str, spec: IcnetSpec, size_hw: tuple[int, int]) -> T:
    """Cascade feature fusion, section 3.3 of the ICNet paper: `low`, brought to the size `size_hw` of `high`, plus `high`."""
    if spec.convolve_low:
        low = ops.resize(ops.conv(low, f"{name}_low", spec.fusion, 3, act="none"), f"{name}_low_up", size_hw)
    else:
        low = ops.conv(ops.resize(low, f"{name}_up", size_hw), f"{name}_low", spec.fusion, 3, dilation=2, act="none")
    high = ops.conv(high, f"{name}_high", spec.fusion, act="none")
    return ops.add([low, high], f"{name}_out")


def icnet_logits(ops: Ops[T], data: T, spec: IcnetSpec, size_hw: tuple[int, int], *, auxiliary: bool = False) -> Heads[T]:
    """ICNet on `data`; see `icnet.network.graph.logits`."""
    height, width = size_hw
    quarter, eighth, sixteenth = ((height // s, width // s) for s in (4, 8, 16))
    image = ops.normalise(data, spec.mean_bgr, spec.std_bgr)

    # Middle branch on the half-size image, shared with the coarse branch up to 1/16.
    x = ops.resize(image, "half", (height // 2, width // 2))  # 1/2, 3
    x = ops.conv(x, "stem1", spec.stem[0], 3, stride=2)  # 1/4, 64
    x = ops.conv(x, "stem2", spec.stem[1], 3)  # 1/4, 64
    x = ops.conv(x, "stem3", spec.stem[2], 3)  # 1/4, classes8
    x = ops.max_pool(x, "stem_pool")  # 1/8, classes8
    for block in range(spec.blocks[0]):
        x = _bottleneck(ops, x, f"stage2_{block + 1}", spec.stage2, project=block == 0)  # 1/8, 256
    middle = _bottleneck(ops, x, "stage3_1", spec.stage3, project=True, stride=2)  # 1/16, 512

    # Coarse branch: the rest of the residual network at 1/32, dilated instead of strided.
    coarse_hw = halved(sixteenth)
    x = ops.resize(middle, "coarse", coarse_hw)  # 1/32, 512
    for block in range(1, spec.blocks[1]):
        x = _bottleneck(ops, x, f"stage3_{block + 1}", spec.stage3, project=False)  # 1/32, 512
    for block in range(spec.blocks[2]):
        x = _bottleneck(ops, x, f"stage4_{block + 1}", spec.stage4, project=block == 0, dilation=2)  # 1/32, 1024
    for block in range(spec.blocks[3]):
        x = _bottleneck(ops, x, f"stage5_{block + 1}", spec.stage5, project=block == 0, dilation=4)  # 1/32, 2048
    levels = [ops.resize(ops.pool(x, f"pyramid_{bins}_pool", bins), f"pyramid_{bins}", coarse_hw) for bins in (1, 2, 3, 6)]
    x = ops.add([x, *levels], "pyramid_sum", act="none")  # 1/32, 2048
    coarse = ops.conv(x, "pyramid_reduce", spec.pyramid)  # 1/32, 512

    # Cascade: coarse into middle at 1/16, then into detail at 1/8.
    fused = _fuse(ops, coarse, middle, "fusion1", spec, sixteenth)  # 1/16, 256
    detail = image
    for index, channels in enumerate(spec.detail):
        detail = ops.conv(detail, f"detail{index + 1}", channels, 3, stride=2)  # 1/2, 1/4, 1/8; 64, 64, 128
    fine = _fuse(ops, fused, detail, "fusion2", spec, eighth)  # 1/8, 256

    # A 1x1 classifier and a bilinear resize commute, so classifying first saves a 256-channel map at 1/4.
    x = ops.project(fine, "classifier", len(spec.classes))  # 1/8, classes
    full = ops.resize(x, "logits", quarter)  # 1/4, classes
    if not auxiliary:
        return Heads(full)
    return Heads(
        full,
        eighth=ops.resize(ops.project(fused, "auxiliary_eighth", len(spec.classes)), "logits_eighth", eighth),
        sixteenth=ops.resize(ops.project(coarse, "auxiliary_sixteenth", len(spec.classes)), "logits_sixteenth", sixteenth),
    )
