"""The networks as data: widths, input, and the published presets."""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from icnet.base.classes import CAMVID, Classes, unnamed
from icnet.base.errors import ModelError, UsageError

STRIDE = 16
"""Input height and width must be multiples of this: ICNet's middle branch then has whole feature cells."""

OUTPUT_STRIDE = 4
"""The logits have this part of the input's height and width."""

_LARGEST = 1 << 16
"""No count or width comes near this. A damaged file must not make counting its convolutions endless."""

_MOST_BLOCKS = 256
"""More blocks than any trunk has, for the same reason."""

_MOST_PIXELS = 1 << 25
"""Of the input, that of the largest videos: a network on more takes gigabytes."""

_LONGEST_NAME = 200


@dataclass(frozen=True)
class NetworkSpec:
    """What every family of networks has: everything that fixes a graph travels inside every weight file."""

    name: str
    classes: Classes = CAMVID
    """What the network answers: one output each."""
    size_hw: tuple[int, int] = (720, 960)
    mean_bgr: tuple[float, float, float] = (103.94, 116.78, 123.68)
    std_bgr: tuple[float, float, float] = (57.38, 57.12, 58.40)

    family: ClassVar[str]
    """Tells the graphs apart."""
    since: ClassVar[dict[str, Any]] = {}
    """Fields that older weight files lack, with what their networks do."""
    may_be_zero: ClassVar[tuple[str, ...]] = ("mean_bgr",)
    """Fields whose numbers may be zero or less."""

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON. CamVid's classes are told by their number, as files of old versions tell them."""
        classes = len(CAMVID) if self.classes == CAMVID else self.classes.to_dict()
        return {"family": self.family, **asdict(self), "classes": classes}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Inverse of `to_dict`, also after a trip through JSON.

        Raises:
            ModelError: a field is missing or unknown, or its value is not what such a field holds.
        """
        known = {field.name for field in fields(cls)}
        values = cls.since | {name: value for name, value in values.items() if name != "family"}
        if set(values) != known:
            odd = ", ".join(sorted(set(values) ^ known))
            raise ModelError(f"the network description does not fit this version of icnet (fields: {odd}); update icnet")
        plain: dict[str, Any] = {key: _tuples(value) for key, value in values.items()}
        plain["classes"] = _classes(values["classes"])
        for field in (field for field in fields(cls) if field.name != "classes"):
            value = plain[field.name]
            if not _is_like(value, field.default, signed=field.name in cls.may_be_zero):
                raise ModelError(
                    f"the network description is damaged: its {field.name} is {values[field.name]!r:.60}, "
                    f"expected something like {field.default!r:.60}; get or make the file anew"
                )
        spec = cls(**plain)
        spec._check()
        if spec.size_hw[0] * spec.size_hw[1] > _MOST_PIXELS:
            raise ModelError(
                f"the network description is damaged: no network has the size {spec.size_hw}; get or make the file anew"
            )
        try:
            check_size(spec.size_hw)
        except UsageError as error:
            raise ModelError(f"the network description is damaged: {error}") from error
        return spec

    def _check(self) -> None:
        """Refuse what is of the right kind and makes no network.

        Raises:
            ModelError: names the field.
        """


@dataclass(frozen=True)
class IcnetSpec(NetworkSpec):
    """ICNet.

    Widths are channel counts. A stage is `(bottleneck, output)`: the width of its 1x1-3x3 pair and of its residual
    stream. Source: Zhao et al., "ICNet for Real-Time Semantic Segmentation on High-Resolution Images",
    arXiv 1704.08545; the widths of the default are PSPNet-50's.
    """

    family: ClassVar[str] = "icnet"
    since: ClassVar[dict[str, Any]] = {"convolve_low": False}

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


Block = tuple[int, int, int, int]
"""An MBConv block: (width inside, 0 if that of its input; kernel size; stride; output width)."""


def efficientnet_lite(stages: tuple[tuple[int, int, int, int, int], ...]) -> tuple[Block, ...]:
    """The blocks of an EfficientNet-Lite: its first stage keeps the width of its input inside, the others have six times that.

    Args:
        stages: (blocks, kernel size, stride of the first block, input width, output width) of each.
    """
    blocks: list[Block] = []
    for index, (count, kernel, stride, inputs, outputs) in enumerate(stages):
        expand = 6 if index else 0
        blocks += [(expand * inputs, kernel, stride, outputs)] + [(expand * outputs, kernel, 1, outputs)] * (count - 1)
    return tuple(blocks)


LITE0 = efficientnet_lite(
    (
        *((1, 3, 1, 32, 16), (2, 3, 2, 16, 24), (2, 5, 2, 24, 40), (3, 3, 2, 40, 80)),
        *((3, 5, 1, 80, 112), (4, 5, 2, 112, 192), (1, 3, 1, 192, 320)),
    )
)
LITE2 = efficientnet_lite(
    (
        *((1, 3, 1, 32, 16), (3, 3, 2, 16, 24), (3, 5, 2, 24, 48), (4, 3, 2, 48, 88)),
        *((4, 5, 1, 88, 120), (5, 5, 2, 120, 208), (1, 3, 1, 208, 352)),
    )
)
"""Trunks of EfficientNet-Lite0 and -Lite2 without their classifiers: Tan and Le, arXiv 1905.11946, and the "lite" networks of the
same authors, which have no squeeze-and-excitation and ReLU6 everywhere."""


@dataclass(frozen=True)
class LiteSpec(NetworkSpec):
    """A pretrained trunk with ICNet's pyramid pooling and cascade.

    The trunk sees the picture at `scale` of its size and gives maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of that.
    """

    family: ClassVar[str] = "lite"
    may_be_zero: ClassVar[tuple[str, ...]] = ("mean_bgr", "trunk", "fusion")

    name: str = "icnet-lite"
    stem: int = 32
    trunk: tuple[Block, ...] = LITE0
    scale: float = 1.0
    """Of the height and width that the trunk sees, against those of the input."""
    fusion: tuple[int, int, int, int, int] = (64, 64, 64, 64, 0)
    """Widths of the fused maps at 1/32, 1/16, 1/8, 1/4 and, if not 0, 1/2 of what the trunk sees."""
    separable: bool = True
    """Whether the convolutions between fusions are depthwise ones with a 1x1 convolution each, not plain ones."""
    mean_bgr: tuple[float, float, float] = (127.0, 127.0, 127.0)
    std_bgr: tuple[float, float, float] = (128.0, 128.0, 128.0)

    def _check(self) -> None:
        *coarse, finest = self.fusion
        strides = [stride for _, _, stride, _ in self.trunk]
        holds = {
            "trunk": sorted(strides)[-5:] == [1, 2, 2, 2, 2]
            and min(strides) == 1
            and all(inside >= 0 and kernel in (1, 3, 5, 7) and outputs > 0 for inside, kernel, _, outputs in self.trunk),
            "fusion": min(coarse) > 0 and finest >= 0,
            "scale": 1 / 8 <= self.scale <= 2,
        }
        for name, right in holds.items():
            if not right:
                raise ModelError(
                    f"the network description is damaged: no network has the {name} {getattr(self, name)!r:.60}; "
                    "get or make the file anew"
                )


_FAMILIES: dict[str, type[IcnetSpec] | type[LiteSpec]] = {kind.family: kind for kind in (IcnetSpec, LiteSpec)}

Spec = IcnetSpec | LiteSpec
"""Any network of this project."""


def spec_from_dict(values: dict[str, Any]) -> Spec:
    """The network that `to_dict` described; files of old versions, which name no family, hold an ICNet.

    Raises:
        ModelError: as `NetworkSpec.from_dict`, or the family is unknown.
    """
    family = values.get("family", IcnetSpec.family)
    if not isinstance(family, str) or family not in _FAMILIES:
        raise ModelError(f"this version of icnet has no networks of the family {family!r:.40}; update icnet")
    return _FAMILIES[family].from_dict(values)


def _classes(value: Any) -> Classes:
    """A table, or that of a network of so many classes."""
    try:
        return unnamed(value) if isinstance(value, int) and not isinstance(value, bool) else Classes.from_dict(value)
    except UsageError as error:
        raise ModelError(f"the network description is damaged: {error}; get or make the file anew") from error


def _tuples(value: Any) -> Any:
    """Tuples where JSON has lists."""
    return tuple(_tuples(one) for one in value) if isinstance(value, list | tuple) else value


def _is_like(value: object, example: object, *, signed: bool) -> bool:
    """Whether `value` has the type and length of `example`, with numbers of sane size and, unless `signed`, above 0."""
    if isinstance(example, tuple):
        if not isinstance(value, tuple):
            return False
        if isinstance(example[0], tuple):  # a list of any length
            return 0 < len(value) <= _MOST_BLOCKS and all(_is_like(one, example[0], signed=signed) for one in value)
        return len(value) == len(example) and all(
            _is_like(one, other, signed=signed) for one, other in zip(value, example, strict=True)
        )
    if isinstance(example, str):
        return isinstance(value, str) and value.isprintable() and 0 < len(value.strip()) <= _LONGEST_NAME
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
LITE = LiteSpec(
    # Chosen by `tools/lite_designs.py`: the larger trunk on a smaller picture costs no more than the smaller one on all of it.
    name="icnet-lite",
    trunk=LITE2,
    scale=11 / 15,
    fusion=(128, 96, 64, 48, 0),
)
LITE_LARGE = LiteSpec(name="icnet-lite-large", trunk=LITE2, fusion=(128, 128, 128, 128, 0), separable=False)
PRESETS: dict[str, Spec] = {spec.name: spec for spec in (LITE, LITE_LARGE, DENSE, SPARSE_60, COMPACT_60)}
"""The published networks by name."""

DEFAULT_MODEL = f"{LITE.name}-int8"
"""The model that every program uses unless told otherwise: `LITE` in eight bits."""


def preset(name: str) -> Spec:
    """The published network called `name`.

    Raises:
        ModelError: no such name; the message lists the names.
    """
    if name not in PRESETS:
        raise ModelError(f"unknown model {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
