"""A training run as data: everything that decides its result, and the learning rate that follows from it."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from icnet.data.augment import Augmentation


@dataclass(frozen=True)
class Recipe:
    """How to train. A checkpoint and the weights that come of it carry the recipe."""

    epochs: int = 64
    batch_size: int = 4
    crop_hw: tuple[int, int] = (352, 480)
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    final_rate: float = 0.005
    """The last learning rate as a share of the peak."""
    warmup_steps: int = 300
    weight_decay: float = 0.01
    """Decoupled (AdamW), for kernels only."""
    ema_momentum: float = 0.998
    """Of the exponential moving average of the weights, per step; the average is what is validated and saved."""
    cascade: tuple[float, ...] = (1.0, 0.4, 0.16)
    """Loss weights of the heads at 1/4, 1/8 and 1/16 of the input size (ICNet paper, section 3.4)."""
    class_weight_offset: float = 1.05
    """ENet uses 1.02; a larger one brings the class weights closer together."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return asdict(self)


def learning_rate(recipe: Recipe, step: int, total_steps: int) -> float:
    """Linear warm-up, then half a cosine down to `final_rate` of the peak (Loshchilov and Hutter, arXiv 1608.03983).

    Args:
        recipe: peak, floor and warm-up.
        step: steps done so far.
        total_steps: steps of the whole run.
    """
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    progress = min(1.0, (step - recipe.warmup_steps) / max(1, total_steps - recipe.warmup_steps))
    share = recipe.final_rate + (1 - recipe.final_rate) * (1 + math.cos(math.pi * progress)) / 2
    return recipe.learning_rate * share
