"""The training loop: steps, moving average, validation, checkpoints, budget."""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from icnet.base.errors import TrainingError, UsageError
from icnet.base.metrics import Scores
from icnet.base.spec import IcnetSpec
from icnet.base.weights import Weights, save_weights
from icnet.data.batches import Batches, BatchOptions
from icnet.data.sample import Dataset
from icnet.data.survey import survey
from icnet.evaluation.accuracy import evaluate
from icnet.evaluation.reference import KerasNetwork
from icnet.net.icnet import build
from icnet.net.layers import KerasOps
from icnet.net.losses import PixelCrossEntropy, class_weights
from icnet.net.weights import get_weights, set_weights
from icnet.training.average import WeightAverage
from icnet.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from icnet.training.log import CSV, TrainingLog
from icnet.training.recipe import Recipe, learning_rate

CHECKPOINT = "checkpoint.safetensors"
"""Name of the file in a run's folder from which the run goes on."""


@dataclass(frozen=True)
class RunOptions:
    """What a run needs besides its recipe; none of it changes the result of a step."""

    max_minutes: float | None = None
    """Stop cleanly and save after this much time of training; reading the data and the last validation come on top."""
    resume: bool = False
    """Go on from the checkpoint in the folder, if there is one."""
    validate_every: int = 8
    """Epochs between validations; the last epoch is always validated."""
    save_minutes: float = 5.0
    """Time between checkpoints."""


@dataclass(frozen=True)
class StepReport:
    """Sent after every step."""

    step: int
    total_steps: int
    loss: float


def check_folder(folder: Path, *, resume: bool) -> None:
    """Refuse to resume where no run is, and to start one over another.

    Raises:
        UsageError: says which of the two.
    """
    if resume and not (folder / CHECKPOINT).exists():
        raise UsageError(f"{folder} holds no run to resume: leave out --resume to start one there")
    if not resume and any((folder / name).exists() for name in (CHECKPOINT, CSV, "best.safetensors")):
        raise UsageError(f"{folder} already holds a run: add --resume to go on with it, or choose another folder")


class _Clock:
    """Times of one run, and the losses since the last epoch's end."""

    def __init__(self, progress: Progress):
        self._before, self._start = progress.seconds, time.monotonic()
        self.saved = self._start
        self.restart(progress.step)

    def restart(self, step: int) -> None:
        """An epoch begins at `step`."""
        self.losses: list[float] = []
        self._epoch_step, self._epoch_start = step, time.monotonic()

    def rate(self, step: int) -> float:
        """Steps per second since the epoch's begin."""
        return (step - self._epoch_step) / (time.monotonic() - self._epoch_start)

    def elapsed(self) -> float:
        """Seconds of this run."""
        return time.monotonic() - self._start

    def total(self) -> float:
        """Seconds, earlier parts of the run included."""
        return self._before + self.elapsed()

    def since_saved(self) -> float:
        """Seconds since the last checkpoint."""
        return time.monotonic() - self.saved


class Trainer:
    """Trains one network in one folder.

    The folder gets `checkpoint.safetensors` (to go on from), `best.safetensors` and `last.safetensors` (weight files with
    the moving average), `log.csv` and `tensorboard/`.
    """

    def __init__(
        self, spec: IcnetSpec, recipe: Recipe, train: Dataset, val: Dataset, folder: Path, *, initial: Weights | None = None
    ):
        """Build the network, from `initial` weights if given.

        Raises:
            UsageError: the crop does not fit the strides, or a dataset is empty.
        """
        if not len(train) or not len(val):
            raise UsageError("training and validation need at least one image each: check the dataset folder")
        keras.utils.set_random_seed(recipe.seed)
        self.spec, self.recipe, self.folder = spec, recipe, folder
        self.val = val
        options = BatchOptions(recipe.batch_size, recipe.crop_hw, spec.size_hw, recipe.augmentation, recipe.seed)
        self.batches = Batches(train, options)
        self.total_steps = recipe.epochs * self.batches.per_epoch
        shared = KerasOps()
        self.model = build(spec, recipe.crop_hw, auxiliary=True, ops=shared)
        self._scored = KerasNetwork(build(spec, ops=shared))  # the same weights on whole images
        if initial is not None:
            set_weights(self.model, initial)
        self._survey = survey(train)
        self._compile(class_weights(self._survey.counts, recipe.class_weight_offset))
        self.progress = Progress()
        self.checkpoint = folder / CHECKPOINT

    def _compile(self, weights: np.ndarray) -> None:
        optimizer = keras.optimizers.AdamW(
            self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
        )
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        loss = [PixelCrossEntropy(weights) for _ in self.recipe.cascade]
        loss_weights = list(self.recipe.cascade)
        self.model.compile(optimizer, loss, loss_weights=loss_weights, jit_compile=self.model.jit_compile)
        optimizer.build(self.model.trainable_variables)
        self.average = WeightAverage(self.model.trainable_variables, self.recipe.ema_momentum)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on; the number of epochs may change, the learning rate then follows the new one."""
        recipe = self.recipe.to_dict()
        del recipe["epochs"]
        return {"network": self.spec.to_dict(), "recipe": recipe, "training data": self._survey.digest}

    def _state(self) -> dict[str, keras.Variable]:
        """Every variable of the run by a name that is the same in the next process."""
        named = {f"model/{variable.path}": variable for variable in self.model.weights}
        # Optimizer paths are not unique on every backend; their order is fixed.
        named |= {f"optimizer/{index}": variable for index, variable in enumerate(self.model.optimizer.variables)}
        return named | {f"average/{index}": variable for index, variable in enumerate(self.average.values)}

    def run(
        self,
        options: RunOptions | None = None,
        *,
        on_step: Callable[[StepReport], bool] = lambda _: True,
        on_epoch: Callable[[dict[str, float]], None] = lambda _: None,
    ) -> Progress:
        """Train to the end of the recipe or of the time budget.

        Args:
            options: budget, resuming, intervals.
            on_step: called after every step; if it returns False the run stops cleanly, as at the end of the budget.
            on_epoch: called with what the log got, at the end of every epoch and of the run.

        Returns:
            Where the run stands now; it is finished when `step` equals `total_steps`.

        Raises:
            UsageError: the folder holds a run and `resume` is not set.
            ModelError: the checkpoint to resume from does not fit.
            TrainingError: the loss is no longer finite; the last checkpoint stays.
        """
        options = options or RunOptions()
        check_folder(self.folder, resume=options.resume)
        if options.resume:
            self.progress = load_checkpoint(self.checkpoint, self._state(), self._identity())
        log = TrainingLog(self.folder, self.progress.step)
        stream = self.batches.stream(self.progress.step)
        clock = _Clock(self.progress)
        try:
            while self.progress.step < self.total_steps:
                loss, validated = self.train_step(*next(stream)), False
                self.progress = dataclasses.replace(self.progress, seconds=clock.total())
                clock.losses.append(loss)
                go_on = on_step(StepReport(self.progress.step, self.total_steps, loss))
                over = options.max_minutes is not None and clock.elapsed() >= options.max_minutes * 60
                last = over or not go_on or self.progress.step == self.total_steps
                if last:
                    self._save_checkpoint()  # nothing may be lost if the validation is interrupted
                if last or self.progress.step % self.batches.per_epoch == 0:
                    values = self._end_of_epoch(clock, options, last=last)
                    log.write(self.progress.step, values)
                    on_epoch(values)
                    clock.restart(self.progress.step)
                    validated = "miou_strict" in values
                if validated or clock.since_saved() >= options.save_minutes * 60:
                    self._save_checkpoint()
                    clock.saved = time.monotonic()
                if last:
                    break
        finally:
            stream.close()
            log.close()
        return self.progress

    def _save_checkpoint(self) -> None:
        save_checkpoint(self.checkpoint, self._state(), self.progress, self._identity())

    def _end_of_epoch(self, clock: "_Clock", options: RunOptions, *, last: bool) -> dict[str, float]:
        """What the log gets; validates if it is time to."""
        step, per_epoch = self.progress.step, self.batches.per_epoch
        values = {
            "epoch": step / per_epoch,
            "minutes": self.progress.seconds / 60,
            "images_per_second": clock.rate(step) * self.recipe.batch_size,
            "learning_rate": learning_rate(self.recipe, step - 1, self.total_steps),
            "loss": float(np.mean(clock.losses)),
        }
        if last or step // per_epoch % options.validate_every == 0:
            result = self.validate(keep=last)
            values |= {"miou_strict": result.miou_strict, "miou_omz": result.miou_omz}
        return values

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> float:
        """One optimizer step on a batch, learning rate and average included; returns its loss."""
        self.model.optimizer.learning_rate = learning_rate(self.recipe, self.progress.step, self.total_steps)
        self.model.reset_metrics()  # Keras would report the mean over all steps so far
        logs = self.model.train_on_batch(images, [labels] * len(self.recipe.cascade), return_dict=True)
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise TrainingError(f"the loss became {loss} at step {self.progress.step + 1}: start anew with a lower learning rate")
        self.progress = dataclasses.replace(self.progress, step=self.progress.step + 1)
        self.average.update(self.progress.step)
        return loss

    def validate(self, *, keep: bool = False) -> Scores:
        """Score the averaged weights on the validation split by the accuracy protocol and save them if they are the best.

        Args:
            keep: also write `last.safetensors`.
        """
        with self.average.applied():
            samples = (self.val[index] for index in range(len(self.val)))
            result = evaluate(samples, self._scored).scores
            self._save(result, keep=keep)
        return result

    def _save(self, result: Scores, *, keep: bool) -> None:
        better = result.miou_strict > self.progress.best_miou
        if better:
            self.progress = dataclasses.replace(self.progress, best_miou=result.miou_strict)
        about = {
            "recipe": self.recipe.to_dict(),
            "step": self.progress.step,
            "minutes": round(self.progress.seconds / 60, 1),
            "miou_strict": result.miou_strict,
            "miou_omz": result.miou_omz,
        }
        weights = dataclasses.replace(get_weights(self.model, self.spec), about=about)
        for name in ["best"] * better + ["last"] * keep:
            save_weights(self.folder / f"{name}.safetensors", weights)
