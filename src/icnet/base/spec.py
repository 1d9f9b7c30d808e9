"""The network as data: widths, input, and the three published presets."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from icnet.base.classes import NAMES
from icnet.base.errors import ModelError, UsageError

STRIDE = 16
"""Input height and width must be multiples of this: the middle branch then has whole feature cells."""

_LARGEST = 1 << 16
"""No count or width comes near this. A damaged file must not make counting its convolutions endless."""

_SIGNED = ("mean_bgr",)
"""Fields that may be zero or less."""

_SINCE_0_3 = ("convolve_low",)
"""Fields that older weight files lack; their networks do without."""


@dataclass(frozen=True)
class IcnetSpec:
    """Everything that fixes the network's graph; travels inside every weight file.

    Widths are channel counts. A stage is `(bottleneck, output)`: the width of its 1x1-3x3 pair and of its residual
    stream. Source: Zhao et al., "ICNet for Real-Time Semantic Segmentation on High-Resolution Images",
    arXiv 1704.08545; the widths of the default are PSPNet-50's.
    """

    name: str = "icnet-camvid-ava-0001"
    stem: tuple[int, int, int] = (64, 64, 128)
    stage2: tuple[int, int] = (64, 256)
    stage3: tuple[int, int] = (128, 512)
    stage4: tuple[int, int] = (256, 1024)
    stage5: tuple[int, int] = (512, 2048)
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    pyramid: int = 512
    detail: tuple[int, int, int] = (64, 64, 128)
    fusion: int = 256
    convolve_low: bool = False
    """Whether fusion convolves the coarser map before it doubles its size, not after, with a dilation of 2, as the paper has it.
    The two commute where the size is doubled exactly, but for the border: nearly the same for a quarter of the operations."""
    classes: int = len(NAMES)
    size_hw: tuple[int, int] = (720, 960)
    mean_bgr: tuple[float, float, float] = (103.94, 116.78, 123.68)
    std_bgr: tuple[float, float, float] = (57.38, 57.12, 58.40)

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "IcnetSpec":
        """Inverse of `to_dict`, also after a trip through JSON.

        Raises:
            ModelError: a field is missing or unknown, or its value is not what such a field holds.
        """
        known = {field.name for field in fields(cls)}
        values = {name: False for name in _SINCE_0_3} | values
        if set(values) != known:
            odd = ", ".join(sorted(set(values) ^ known))
            raise ModelError(f"the network description does not fit this version of icnet (fields: {odd}); update icnet")
        plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        for field in fields(cls):
            value = plain[field.name]
            if not _is_like(value, field.default, signed=field.name in _SIGNED):
                raise ModelError(
                    f"the network description is damaged: its {field.name} is {values[field.name]!r:.60}, "
                    f"expected something like {field.default!r}; get or make the file anew"
                )
        return cls(**plain)


def _is_like(value: object, example: object, *, signed: bool) -> bool:
    """Whether `value` has the type and length of `example`, with numbers of sane size and, unless `signed`, above 0."""
    if isinstance(example, tuple):
        return (
            isinstance(value, tuple)
            and len(value) == len(example)
            and all(_is_like(one, other, signed=signed) for one, other in zip(value, example, strict=True))
        )
    if isinstance(example, str):
        return isinstance(value, str) and value != ""
    if isinstance(example, bool) or isinstance(value, bool):  # in Python, True is a number
        return isinstance(example, bool) and isinstance(value, bool)
    allowed = (int,) if isinstance(example, int) else (int, float)
    if not isinstance(value, allowed):
        return False
    return abs(value) <= _LARGEST and (signed or value > 0)  # not nan either: it compares false


def check_size(size_hw: tuple[int, int]) -> None:
    """Refuse an input size that the strides do not allow.

    Raises:
        UsageError: names the nearest sizes that work.
    """
    if all(side >= STRIDE * 2 and side % STRIDE == 0 for side in size_hw):
        return
    floor = [max(STRIDE * 2, side // STRIDE * STRIDE) for side in size_hw]
    ceil = [max(STRIDE * 2, -(-side // STRIDE) * STRIDE) for side in size_hw]
    raise UsageError(
        f"input size {size_hw[0]}x{size_hw[1]} (height x width) does not fit the network's strides: "
        f"use multiples of {STRIDE} from {STRIDE * 2}, such as {floor[0]}x{floor[1]} or {ceil[0]}x{ceil[1]}"
    )


DENSE = IcnetSpec()
SPARSE_60 = IcnetSpec(name="icnet-camvid-ava-sparse-60-0001")
COMPACT_60 = IcnetSpec(
    # 10,589,120 kernel weights, 60.3 % fewer than dense. Thin where the maps are large, wide where they are small:
    # a weight at 1/4 of the input size costs 64 times as much time as one at 1/32.
    name="icnet-camvid-ava-compact-60-0001",
    stem=(32, 32, 64),
    stage2=(32, 128),
    stage3=(80, 320),
    stage4=(160, 640),
    stage5=(336, 1280),
    pyramid=336,
    detail=(32, 32, 64),
    fusion=128,
    convolve_low=True,
)
PRESETS: dict[str, IcnetSpec] = {spec.name: spec for spec in (DENSE, SPARSE_60, COMPACT_60)}
"""The published networks by name."""

DEFAULT_MODEL = f"{COMPACT_60.name}-int8"
"""The model that every program uses unless told otherwise: `COMPACT_60` in eight bits."""


def preset(name: str) -> IcnetSpec:
    """The published network called `name`.

    Raises:
        ModelError: no such name; the message lists the names.
    """
    if name not in PRESETS:
        raise ModelError(f"unknown model {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
