"""The training loop: steps, moving average, validation, checkpoints, budget."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from icnet.base.errors import ModelError, TrainingError, UsageError
from icnet.base.files import sole_writer, write_bytes
from icnet.base.metrics import Scores
from icnet.base.spec import Spec
from icnet.base.stderr import native_messages_dropped
from icnet.base.weights import Weights, load_weights, save_weights
from icnet.data.batches import Batches, BatchOptions
from icnet.data.sample import Dataset
from icnet.data.survey import survey
from icnet.evaluation.accuracy import Network, evaluate
from icnet.evaluation.reference import KerasNetwork, TorchNetwork
from icnet.net.icnet import build
from icnet.net.weights import as_stored, digest, get_weights, set_weights
from icnet.training.average import WeightAverage
from icnet.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from icnet.training.clock import Clock
from icnet.training.grow import grow
from icnet.training.log import CSV, TrainingLog
from icnet.training.objective import objective
from icnet.training.pruning import GradualPruning
from icnet.training.recipe import Recipe, crop_stages, learning_rate
from icnet.training.steps import Losses, on_torch_cpu, optimizer_step

FIT_STEPS, FIT_IMAGES, FIT_RESERVE = (4, 12), 4, 0.03
"""How `fit_minutes` measures: untimed and timed steps of every stage, images validated; and the share of the time left over."""

CHECKPOINT = "checkpoint.safetensors"
"""Name of the file in a run's folder from which the run goes on."""
RECIPE = "recipe.json"
"""Name of the file in a run's folder with the recipe that the run began with."""
BEST, LAST = "best.safetensors", "last.safetensors"
"""Names of the weight files in a run's folder: the best by strict mIoU, and those of the last validation of a run."""


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
    if not resume and any((folder / name).exists() for name in (CHECKPOINT, CSV, BEST)):
        raise UsageError(f"{folder} already holds a run: add --resume to go on with it, or choose another folder")


def planned_epochs(folder: Path) -> int:
    """The epochs of the run in `folder`.

    Raises:
        UsageError: its recipe is not there.
    """
    try:
        return int(json.loads((folder / RECIPE).read_text())["epochs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / RECIPE} does not tell the epochs: give --epochs instead of --fit-minutes") from error


class Trainer:
    """Trains one network in one folder.

    The folder gets `checkpoint.safetensors` (to go on from), `best.safetensors` and `last.safetensors` (weight files with
    the moving average), `log.csv` and `tensorboard/`. A run with pruning has no best before all is removed. If that was
    whole channels, `compact-best.safetensors` and `compact-last.safetensors` hold the same networks without them.
    """

    def __init__(
        self,
        spec: Spec,
        recipe: Recipe,
        train: Dataset,
        val: Dataset,
        folder: Path,
        *,
        initial: Weights | None = None,
        teacher: Weights | None = None,
    ):
        """Build the network.

        Args:
            spec: the network.
            recipe: how to train it.
            train: images to learn from.
            val: images to score, never to learn from.
            folder: of the run.
            initial: what `recipe.initial` names: weights to start from, of this network or a narrower one.
            teacher: what `recipe.distillation.teacher` names.

        Raises:
            UsageError: the crop does not fit the strides, or a dataset is empty.
            ModelError: the initial weights belong to another network.
        """
        if not len(train) or not len(val):
            raise UsageError("training and validation need at least one image each: check the dataset folder")
        with native_messages_dropped():  # it loads TensorFlow where that is installed
            keras.utils.set_random_seed(recipe.seed)
        self.spec, self.folder = spec, folder
        self.val, self._teacher = val, teacher
        self._plan(train, recipe)
        self._survey = survey(train)
        crops_hw = [stage.crop_hw for stage in self.batches.options.stages]
        self.objective = objective(spec, recipe, crops_hw, self._survey.counts, teacher=teacher)
        self.model = self.objective.network
        if initial is not None:
            set_weights(self.model, grow(initial, spec, seed=recipe.seed))
        self._whole: keras.Model | None = None
        self.average = WeightAverage(self.objective.models[0].trainable_variables, recipe.ema_momentum)
        self._stepper = optimizer_step(self.objective, self.average)
        self._pruning = GradualPruning(self.model, recipe.pruning, self.total_steps) if recipe.pruning else None
        self.progress = Progress(history=_history(initial))
        self.checkpoint = folder / CHECKPOINT

    def _plan(self, train: Dataset, recipe: Recipe) -> None:
        """Lay out the steps of `recipe`."""
        self.recipe, stages = recipe, crop_stages(recipe, len(train))
        self.batches = Batches(train, BatchOptions(stages, self.spec.size_hw, recipe.augmentation, recipe.seed))
        self.total_steps = sum(stage.batches for stage in stages)

    def fit_minutes(self, minutes: float, *, validate_every: int) -> None:
        """Change the number of epochs so that the run, its validations and the end of its schedule included, takes this long.

        Some steps of every stage are timed, and a validation of a few images, which takes its own time; the variables are as
        before afterwards.

        Args:
            minutes: of the whole run; reading the data and this measurement are not part of it.
            validate_every: epochs between validations.

        Raises:
            UsageError: not even one epoch fits; the message says what would.
        """
        start = {name: np.array(keras.ops.convert_to_numpy(value)) for name, value in self._state().items()}
        seconds, first = 0.0, 0
        for stage in self.batches.options.stages:
            seconds += stage.batches / self.recipe.epochs * self._step_seconds(first)  # in an epoch, on average
            first += stage.batches
        validation = self._validation_seconds()
        self.sync()
        for name, value in self._state().items():
            value.assign(start[name])
        epoch, reserve = seconds + validation / validate_every, 60 * (1 - FIT_RESERVE)
        epochs = math.floor((reserve * minutes - validation) / epoch)
        if epochs < 1:
            least = math.ceil((epoch + validation) / reserve)
            raise UsageError(f"an epoch does not fit into {minutes:g} minutes here: give {least} or smaller crops")
        self._plan(self.batches.dataset, dataclasses.replace(self.recipe, epochs=epochs))
        if self.recipe.pruning:
            self._pruning = GradualPruning(self.model, self.recipe.pruning, self.total_steps)

    def _step_seconds(self, first: int) -> float:
        """Time of a step on batches from number `first` on, made as they are in a run."""
        stream = self.batches.stream(first, self._stepper.place)
        with closing(stream):
            for count in (FIT_STEPS[0], FIT_STEPS[1]):  # the first ones compile and warm up
                begin = time.monotonic()
                for _ in range(count):
                    images, counts = next(stream)
                    self._stepper.run(1, images, counts, 0.0)
                self._stepper.drain()
                seconds = (time.monotonic() - begin) / count
        return seconds

    def _validation_seconds(self) -> float:
        """Time of a validation, from a few of its images."""
        self.sync()
        network, few = self._network(as_stored(get_weights(self.model, self.spec))), min(FIT_IMAGES, len(self.val))
        evaluate([self.val[0]], network)
        begin = time.monotonic()
        evaluate((self.val[index] for index in range(few)), network)
        return (time.monotonic() - begin) / few * len(self.val)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on.

        The number of epochs may change, the learning rate then follows the new one; but not where it also decides when the
        crops change or what is pruned by now.
        """
        recipe = self.recipe.to_dict()
        if not (self.recipe.final or self.recipe.pruning):
            del recipe["epochs"]
        teacher = {"teacher": digest(self._teacher)} if self._teacher else {}
        return {"network": self.spec.to_dict(), "recipe": recipe, "training data": self._survey.digest, **teacher}

    def _state(self) -> dict[str, keras.Variable]:
        """Every variable of the run by a name that is the same in the next process."""
        named = {f"model/{variable.path}": variable for variable in self.model.weights}
        named |= {f"seed/{index}": variable for index, variable in enumerate(_seeds(self.model))}
        # Optimizer paths are not unique on every backend; their order is fixed.
        named |= {f"optimizer/{index}": variable for index, variable in enumerate(self.objective.optimizer.variables)}
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
        weight_files = [prefix + name for prefix in ("", "compact-") for name in (BEST, LAST)]
        with sole_writer(self.folder, [CHECKPOINT, CSV, *weight_files]):
            check_folder(self.folder, resume=options.resume)  # another process may have begun one in between
            if options.resume:
                self._load_checkpoint()
            else:
                write_bytes(self.folder / RECIPE, json.dumps(self.recipe.to_dict(), indent=1).encode())
                self._save_checkpoint()  # a run that is killed early can be resumed too
            return self._run(options, on_step, on_epoch)

    def _run(
        self,
        options: RunOptions,
        on_step: Callable[[StepReport], bool],
        on_epoch: Callable[[dict[str, float]], None],
    ) -> Progress:
        log = TrainingLog(self.folder, self.progress.reported)
        stream = self.batches.stream(self.progress.step, self._stepper.place)
        clock = Clock(self.progress.seconds, self.batches.samples(self.progress.step))

        def report(*, last: bool) -> bool:
            """End an epoch; tells whether it was validated."""
            values = self._end_of_epoch(clock, options, last=last)
            log.write(self.progress.step, values)
            on_epoch(values)
            clock.restart(self.batches.samples(self.progress.step))
            self.progress = dataclasses.replace(self.progress, losses=())
            return "miou_strict" in values

        def tell(told: Losses) -> bool:
            """Keep and report losses; tells whether to go on."""
            losses = (*self.progress.losses, *(loss for _, loss in told))
            self.progress = dataclasses.replace(self.progress, seconds=clock.total(), losses=losses)
            return all([on_step(StepReport(step, self.total_steps, loss)) for step, loss in told])

        try:
            finished = self.progress.step == self.total_steps
            if self.progress.losses and (finished or self._passed(1)):  # killed between an epoch's last step and its end
                report(last=finished)
                self._save_checkpoint()
            while self.progress.step < self.total_steps:
                told, validated = self.train_step(*next(stream)), False
                over = options.max_minutes is not None and clock.elapsed() >= options.max_minutes * 60
                over = over or self.progress.step == self.total_steps
                due = clock.since_saved() >= options.save_minutes * 60
                if over or due or self._passed(1):
                    told += self.drain()  # what is logged or saved must be known to the last step
                last = not tell(told) or over
                if last:
                    tell(self.drain())
                    self._save_checkpoint()  # nothing may be lost if the validation is interrupted
                if last or self._passed(1):
                    validated = report(last=last)
                if validated or due:
                    self._save_checkpoint()
                    clock.saved = time.monotonic()
                if last:
                    break
        finally:
            stream.close()
            log.close()
        return self.progress

    def _save_checkpoint(self) -> None:
        self.sync()
        save_checkpoint(self.checkpoint, self._state(), self.progress, self._identity())

    def _load_checkpoint(self) -> None:
        """Go back to the last checkpoint; the best score is that of the file, which may be newer than the checkpoint."""
        self.drain()
        self.sync()  # what the steps hold is given up
        progress = load_checkpoint(self.checkpoint, self._state(), self._identity())
        if progress.step > self.total_steps:
            raise UsageError(f"{self.folder} is at step {progress.step} of {self.total_steps} already: ask for more epochs")
        if self._pruning is not None:
            self._pruning.restart()
        self.progress = dataclasses.replace(progress, best_miou=_score(self.folder / BEST))

    def _passed(self, epochs: int) -> bool:
        """Whether the step just done completed a multiple of `epochs` epochs."""
        step = self.progress.step
        return self.batches.epochs(step) // epochs > self.batches.epochs(step - 1) // epochs

    def _end_of_epoch(self, clock: Clock, options: RunOptions, *, last: bool) -> dict[str, float]:
        """What the log gets; validates if it is time to."""
        step = self.progress.step
        values = {
            "epoch": self.batches.epochs(step),
            "minutes": self.progress.seconds / 60,
            "images_per_second": clock.rate(self.batches.samples(step)),
            "learning_rate": learning_rate(self.recipe, step - 1, self.total_steps),
            "loss": float(np.mean(self.progress.losses)),
        }
        if last or self._passed(options.validate_every):
            result = self.validate(keep=last)
            values |= {"miou_strict": result.miou_strict, "miou_omz": result.miou_omz}
        return values

    def sync(self) -> None:
        """Bring the Keras variables up to date."""
        self._stepper.sync()

    def train_step(self, images: Any, counts: Any) -> Losses:
        """Begin one optimizer step on a batch, learning rate, average and pruning included; returns the losses known by now.

        Raises:
            TrainingError: one of them is not finite.
        """
        rate = learning_rate(self.recipe, self.progress.step, self.total_steps)
        told = self._stepper.run(self.progress.step + 1, images, counts, rate)
        self.progress = dataclasses.replace(self.progress, step=self.progress.step + 1)
        if self._pruning is not None and self._pruning.due(self.progress.step):
            self.sync()
            self._pruning.prune(self.progress.step)
        return _finite(told)

    def drain(self) -> Losses:
        """The losses of the steps that are still under way, when they are done; as `train_step`."""
        return _finite(self._stepper.drain())

    def validate(self, *, keep: bool = False) -> Scores:
        """Score the averaged weights, rounded as a file holds them, on the validation split; save them if they are the best.

        Args:
            keep: also write `last.safetensors`.
        """
        self.sync()
        with self.average.applied():
            weights = as_stored(get_weights(self.model, self.spec))
        samples = (self.val[index] for index in range(len(self.val)))
        result = evaluate(samples, self._network(weights)).scores
        self._save(weights, result, keep=keep)
        return result

    def _network(self, weights: Weights) -> Network:
        """For validation: plain float32, as users will run it."""
        if on_torch_cpu(self.recipe.precision):
            return TorchNetwork(weights)
        self._whole = self._whole or build(self.spec)
        set_weights(self._whole, weights)
        return KerasNetwork(self._whole)

    def _save(self, weights: Weights, result: Scores, *, keep: bool) -> None:
        pruned = self._pruning is None or self._pruning.reached(self.progress.step)
        better = pruned and result.miou_strict > self.progress.best_miou
        if better:
            self.progress = dataclasses.replace(self.progress, best_miou=result.miou_strict)
        recipe = self.recipe.to_dict()
        for part, key in ((recipe, "initial"), (recipe["distillation"] or {"teacher": ""}, "teacher")):
            part[key] = Path(part[key]).name  # where a file lay on this machine is nobody else's business
        about = {
            "recipe": recipe,
            "history": list(self.progress.history),
            "step": self.progress.step,
            "minutes": round(self.progress.seconds / 60, 1),
            "miou_strict": result.miou_strict,
            "miou_omz": result.miou_omz,
            "answers_unlabeled": self.recipe.void == "class",
        }
        weights = dataclasses.replace(weights, about=about)
        compacted = self._pruning.compacted(weights) if self._pruning and pruned else None
        for name in [BEST] * better + [LAST] * keep:
            if compacted is not None:  # first, because a resumed run takes the other one's score for both
                save_weights(self.folder / f"compact-{name}", compacted)
            save_weights(self.folder / name, weights)


def _seeds(model: keras.Model) -> list[keras.Variable]:
    """States of the model's random number generators, which Keras does not count among its weights."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _history(initial: Weights | None) -> tuple[dict[str, Any], ...]:
    """What made the weights that a run starts from, the first run first."""
    if initial is None:
        return ()
    last = {key: initial.about[key] for key in ("recipe", "step", "minutes", "miou_strict") if key in initial.about}
    return (*initial.about.get("history", []), last)


def _score(path: Path) -> float:
    """The strict mIoU that a weight file of a run carries; -1, below every score, if there is no such file."""
    try:
        return float(load_weights(path).about["miou_strict"])
    except (ModelError, KeyError, TypeError, ValueError):
        return -1.0


def _finite(losses: Losses) -> Losses:
    for step, loss in losses:
        if not math.isfinite(loss):
            raise TrainingError(f"the loss became {loss} at step {step}: start anew with a lower learning rate")
    return losses
