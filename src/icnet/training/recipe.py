"""A training run as data: everything that decides its result, what follows from it, and the recipe of each published model."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from icnet.base.errors import UsageError
from icnet.data.augment import Augmentation
from icnet.data.batches import CropStage
from icnet.network.spec import COMPACT_60, DENSE, LITE, LITE_LARGE, SPARSE_60, STRIDE

IMAGENET = "imagenet"
"""What `initial` is for a trunk from ImageNet, see `icnet.training.imagenet`."""

Precision = Literal["float32", "bfloat16"]
Granularity = Literal["weight", "channel"]


@dataclass(frozen=True)
class FinalStage:
    """The last part of a run, on crops near the size at which the network is used."""

    share: float = 0.2
    """Of all crops of the run."""
    crop_hw: tuple[int, int] = (720, 960)
    batch_size: int = 4


@dataclass(frozen=True)
class Distillation:
    """Learning from a trained network's probabilities too: Hinton et al., arXiv 1503.02531."""

    teacher: str = DENSE.name
    """A published name or a weight file; it stays as it is."""
    view: Literal["crop", "picture"] = "crop"
    """What the teacher sees: every augmented crop, for a loss of its own at the main head, or every picture, once and whole.
    In that case its answers are cut and turned as the labels are and blended with them, for every head, and cost no time in a
    step."""
    weight: float = 1.0
    """Of the distillation loss beside the losses against the labels; of the answers beside the labels, which have 1."""
    temperature: float = 2.0


@dataclass(frozen=True)
class Pruning:
    """Removing weights gradually during the run."""

    ratio: float = 0.6
    """Share of the inference graph's kernel weights that is zero at the end, exactly; for channels, `widths` decides. Kernels of
    depthwise convolutions are neither counted nor made zero."""
    granularity: Granularity = "weight"
    widths: str = COMPACT_60.name
    """The published network whose widths are reached when whole channels are removed."""
    begin: float = 0.0
    """When it starts, as a share of the run."""
    end: float = 0.6
    """When the ratio is reached, as a share of the run; the rest of it repairs what was lost."""
    every: int = 50
    """Steps from one removal to the next."""


@dataclass(frozen=True)
class Recipe:
    """How to train. A checkpoint and the weights that come of it carry the recipe.

    The defaults suit a few hours on a CPU; the published models have recipes of their own in `RECIPES`.

    Raises:
        UsageError: a value is out of range.
    """

    epochs: int = 64
    batch_size: int = 4
    crop_hw: tuple[int, int] = (352, 480)
    final: FinalStage | None = None
    """Larger crops at the end, if any."""
    initial: str = ""
    """Weights to start from, a published name or a file; random ones by default. Narrower networks are grown."""
    precision: Precision = "float32"
    """Of maps and gradients; weights, normalisation, losses and validation are float32 in either case."""
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    trunk_rate: float = 1.0
    """Times this for a pretrained trunk, which has less to learn."""
    final_rate: float = 0.005
    """The last learning rate as a share of the peak."""
    warmup_steps: int = 300
    """At most; a quarter of a run that is shorter than four times this."""
    weight_decay: float = 0.01
    """Decoupled (AdamW: Loshchilov and Hutter, arXiv 1711.05101): a step takes `learning_rate * weight_decay` of every kernel
    away, whatever the gradients. The L2 penalties of Adam and SGD recipes, such as 2e-4, are no guide to it."""
    clip_norm: float = 0.0
    """Gradients with a larger norm, over all weights together, are scaled down to it; 0 leaves all as they are."""
    ema_momentum: float = 0.998
    """Of the exponential moving average of the weights, per step; the average is what is validated and saved."""
    loss: Literal["cross-entropy", "ohem"] = "cross-entropy"
    """Weighted by class in either case; `ohem` counts only the pixels that the network finds hard."""
    ohem_probability: float = 0.7
    """Pixels whose true class is less probable than this are hard."""
    ohem_share: float = 0.0625
    """The hardest of the labelled pixels that always count."""
    class_weight_offset: float = 1.05
    """ENet uses 1.02; a larger one brings the class weights closer together."""
    void: Literal["class", "ignore"] = "ignore"
    """Whether pixels without a label are a class to learn, so that the network can answer "Unlabeled", or tell nothing."""
    void_weight: float = 0.5
    """Of void in the cross-entropy if it is a class; the mean of the others is 1. It never counts for the Jaccard loss."""
    jaccard: float = 1.0
    """Weight of the Jaccard loss beside the cross-entropy."""
    cascade: tuple[float, ...] = (1.0, 0.4, 0.16)
    """Loss weights of the heads at 1/4, 1/8 and 1/16 of the input size (ICNet paper, section 3.4)."""
    distillation: Distillation | None = None
    pruning: Pruning | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0

    def __post_init__(self) -> None:
        _require("epochs and batch_size", "1 or more", self.epochs >= 1 and self.batch_size >= 1)
        _require("learning_rate", "above 0", self.learning_rate > 0)
        _require("weight_decay and warmup_steps", "0 or more", min(self.weight_decay, self.warmup_steps) >= 0)
        _require("seed", "from 0 to 4294967295", 0 <= self.seed < 2**32)
        _require("final_rate", "from 0 to 1", 0 <= self.final_rate <= 1)
        _require("ema_momentum", "from 0 to below 1", 0 <= self.ema_momentum < 1)
        _require("ohem_probability", "between 0 and 1", 0 < self.ohem_probability < 1)
        _require("ohem_share", "from 0 to 1", 0 <= self.ohem_share <= 1)
        _require("class_weight_offset", "above 1", self.class_weight_offset > 1)
        _require("trunk_rate", "0 or more", self.trunk_rate >= 0)
        _require("clip_norm and jaccard", "0 or more", min(self.clip_norm, self.jaccard) >= 0)
        _require("void_weight", "above 0", self.void_weight > 0)
        _require("cascade", "three numbers of 0 or more", len(self.cascade) == 3 and min(self.cascade) >= 0)
        if final := self.final:
            _require("final.share", "between 0 and 1", 0 < final.share < 1)
            _require("final.batch_size", "1 or more", final.batch_size >= 1)
        if distillation := self.distillation:
            _require("distillation.weight", "0 or more", distillation.weight >= 0)
            _require("distillation.temperature", "above 0", distillation.temperature > 0)
        if pruning := self.pruning:
            _require("pruning.ratio", "between 0 and 1", 0 < pruning.ratio < 1)
            _require("pruning.every", "1 or more", pruning.every >= 1)
            _require("pruning.begin and end", "in order, from 0 to 1", 0 <= pruning.begin <= pruning.end <= 1)

    @property
    def answered(self) -> Distillation | None:
        """The distillation whose answers are blended with the labels."""
        return self.distillation if self.distillation and self.distillation.view == "picture" else None

    @property
    def imitated(self) -> Distillation | None:
        """The distillation that has a loss of its own."""
        return None if self.answered else self.distillation

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return asdict(self)


def _require(name: str, expected: str, holds: bool) -> None:
    if not holds:
        raise UsageError(f"the recipe's {name} must be {expected}: see what it is with --show-recipe and change it with --set")


def resized(recipe: Recipe, old_hw: tuple[int, int], new_hw: tuple[int, int]) -> Recipe:
    """The same recipe for a network of another input size: crops show the same share of the picture, or nearly so.

    `old_hw` is the size for which the recipe was made.
    """

    def scaled(crop_hw: tuple[int, int]) -> tuple[int, int]:
        height, width = (
            max(2 * STRIDE, round(crop * new / old / STRIDE) * STRIDE)
            for crop, old, new in zip(crop_hw, old_hw, new_hw, strict=True)
        )
        return height, width

    if old_hw == new_hw:
        return recipe
    final = recipe.final and replace(recipe.final, crop_hw=scaled(recipe.final.crop_hw))
    return replace(recipe, crop_hw=scaled(recipe.crop_hw), final=final)


def crop_stages(recipe: Recipe, images: int) -> tuple[CropStage, ...]:
    """The parts of a run over `images` images; each gets its share of the run's `epochs * images` crops, at least one batch."""
    crops = recipe.epochs * images
    late = recipe.final.share * crops if recipe.final else 0

    def stage(share: float, size: int, crop_hw: tuple[int, int]) -> CropStage:
        return CropStage(max(1, round(share / size)), size, crop_hw)

    first = stage(crops - late, recipe.batch_size, recipe.crop_hw)
    return (first, stage(late, recipe.final.batch_size, recipe.final.crop_hw)) if recipe.final else (first,)


def learning_rate(recipe: Recipe, step: int, total_steps: int) -> float:
    """Linear warm-up, then half a cosine down to `final_rate` of the peak (Loshchilov and Hutter, arXiv 1608.03983).

    `step` counts the steps done so far, of the `total_steps` of the whole run.
    """
    warmup = min(recipe.warmup_steps, total_steps // 4)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    share = recipe.final_rate + (1 - recipe.final_rate) * (1 + math.cos(math.pi * progress)) / 2
    return recipe.learning_rate * share


_SCRATCH = Recipe(
    epochs=800,
    batch_size=8,
    crop_hw=(480, 640),
    final=FinalStage(),
    warmup_steps=500,
    weight_decay=0.05,
    ema_momentum=0.999,
    augmentation=Augmentation(scale=(0.5, 2.0)),
)

_PRETRAINED = Recipe(
    epochs=80,
    crop_hw=(480, 720),
    final=FinalStage(),
    initial=IMAGENET,
    trunk_rate=0.4,
    weight_decay=0.02,
    warmup_steps=100,
    clip_norm=5.0,
    void="class",
    class_weight_offset=1.1,
    augmentation=Augmentation(scale=(0.5, 1.75), blur=1.2, sharpness=1.0),
)

RECIPES: dict[str, Recipe] = {
    LITE.name: replace(_PRETRAINED, initial=LITE.name),
    LITE_LARGE.name: replace(_PRETRAINED, epochs=60, crop_hw=(400, 608)),
    DENSE.name: _SCRATCH,
    COMPACT_60.name: _SCRATCH,
    SPARSE_60.name: replace(
        _SCRATCH, epochs=300, learning_rate=3e-4, warmup_steps=100, initial=COMPACT_60.name, pruning=Pruning(ratio=0.6)
    ),
}
"""How each published model is trained: the lite ones on a CPU, the others on one GPU for hours to a day; else shrink them.

`icnet-lite` goes on from its own weights, for streets of one's own; those came of the same recipe with `--initial imagenet`."""
