"""Gradual pruning: when, how much, and as a callback of `model.fit`."""

from dataclasses import dataclass
from typing import Any, Protocol

import keras

from icnet.base.errors import UsageError
from icnet.pruning.masks import to_numpy


@dataclass(frozen=True)
class PruningSchedule:
    """Removed share over the steps of a training run: fast at first, slower as less can be spared.

    The cubic of Zhu & Gupta, "To prune, or not to prune", arXiv 1710.01878, equation 1.
    """

    ratio: float
    """Share at the end."""
    begin_step: int
    """First step with more than `initial`: pruning starts after it."""
    end_step: int
    """From this step on the share is `ratio`."""
    every: int = 100
    """Steps from one change to the next."""
    initial: float = 0.0
    """Share at `begin_step`."""

    def __post_init__(self) -> None:
        if not 0 <= self.initial <= self.ratio <= 1:
            raise UsageError(f"the schedule goes from {self.initial} to {self.ratio}, expected 0 <= initial <= ratio <= 1")
        if not 0 <= self.begin_step <= self.end_step or self.every < 1:
            raise UsageError(
                f"the schedule runs from step {self.begin_step} to {self.end_step} every {self.every}, "
                "expected 0 <= begin_step <= end_step and every >= 1"
            )

    def ratio_at(self, step: int) -> float:
        """The share that holds at `step`: constant between changes, so it depends on nothing but the step."""
        if step < self.begin_step:
            return 0.0
        if step >= self.end_step:
            return self.ratio
        changed = self.begin_step + (step - self.begin_step) // self.every * self.every
        left = 1 - (changed - self.begin_step) / (self.end_step - self.begin_step)
        return self.ratio + (self.initial - self.ratio) * left**3


class Pruner(Protocol):
    """What `WeightPruner` and `ChannelPruner` have in common."""

    model: keras.Model
    layers: list[keras.layers.Layer]

    def prune(self, ratio: float) -> int:
        """Mask until `ratio` is removed; give the number of removed weights."""
        ...


class PruningCallback(keras.callbacks.Callback):
    """Prunes while `model.fit` trains, before the step at which the schedule's share changes.

    Steps are counted by the optimizer, so a run that goes on from a saved model goes on in the schedule. What the end of
    training would leave open (a schedule that ends with the last step) is done when training ends.
    """

    def __init__(self, pruner: Pruner, schedule: PruningSchedule) -> None:
        super().__init__()
        self.pruner, self.schedule = pruner, schedule
        self._step = self._epoch_start = 0
        self._ratio = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        own = {id(layer) for layer in self.model.layers}
        if not all(id(layer) in own for layer in self.pruner.layers):
            raise UsageError(f"the pruner prunes another model than {self.model.name}, which is trained: give it that one")
        self._step, self._ratio = int(to_numpy(self.model.optimizer.iterations)), 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch_start = self._step

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._prune()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step = self._epoch_start + batch + 1

    def on_train_end(self, logs: Any = None) -> None:
        self._prune()

    def _prune(self) -> None:
        ratio = self.schedule.ratio_at(self._step)
        if ratio <= self._ratio:
            return
        if keras.backend.backend() == "jax":
            # During fit the values live in the compiled step's state, and the variables are empty. This writes them back,
            # and makes the next step read the variables again, masks included.
            self.model.jax_state_sync()
        self.pruner.prune(ratio)
        self._ratio = ratio
