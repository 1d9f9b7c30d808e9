"""A training run in its folder: the loop, validation, checkpoints, log and budget."""

import dataclasses
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icnet.base.errors import ModelError, UsageError
from icnet.base.files import sole_writer, write_bytes
from icnet.evaluation.scores import Scores
from icnet.network.weights import Weights, load_weights, save_weights
from icnet.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from icnet.training.clock import Clock
from icnet.training.learner import Learner
from icnet.training.log import CSV, TrainingLog
from icnet.training.patience import Patience
from icnet.training.preview import PREVIEW, write_preview
from icnet.training.steps import Losses
from icnet.training.trackers import TrackerName, open_tracker

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
    patience: int | None = None
    """Stop after this many validations in a row without a new best, as at the end of the budget."""
    tracker: TrackerName = "tensorboard"
    """Where the run can be followed besides `log.csv`."""
    save_minutes: float = 5.0
    """Time between checkpoints."""


@dataclass(frozen=True)
class StepReport:
    """Sent after every step."""

    step: int
    total_steps: int
    loss: float


OnStep = Callable[[StepReport], bool]
"""Called after every step; if it returns False the run stops cleanly, as at the end of the budget."""
OnEpoch = Callable[[dict[str, float]], None]
"""Called with what the log got, at the end of every epoch and of the run."""


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

    The folder gets `train_batches.jpg` (the first crops with their labels), `checkpoint.safetensors` (to go on from),
    `best.safetensors` and `last.safetensors` (weight files with the moving average), `log.csv` and `tensorboard/`. A run with
    pruning has no best before all is removed. If that was whole channels, `compact-best.safetensors` and
    `compact-last.safetensors` hold the same networks without them.
    """

    def __init__(self, learner: Learner, folder: Path):
        """Have `learner` trained in `folder`."""
        self.learner, self.folder = learner, folder
        self.progress = Progress(history=_history(learner.initial))
        self.checkpoint = folder / CHECKPOINT
        self.patience = Patience()

    @property
    def finished(self) -> bool:
        """Whether the last step of the recipe is done."""
        return self.progress.step >= self.learner.total_steps

    def run(
        self,
        options: RunOptions | None = None,
        *,
        on_step: OnStep = lambda _: True,
        on_epoch: OnEpoch = lambda _: None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Progress:
        """Train to the end of the recipe or of the time budget.

        Args:
            options: budget, resuming, intervals.
            on_step: see `OnStep`.
            on_epoch: see `OnEpoch`.
            tell: takes what a person should know, a line at a time.

        Returns:
            Where the run stands now; it is finished when `step` equals the learner's `total_steps`.

        Raises:
            UsageError: the folder holds a run and `resume` is not set.
            ModelError: the checkpoint to resume from does not fit.
            TrainingError: the loss is no longer finite; the last checkpoint stays.
        """
        options = options or RunOptions()
        self.patience = Patience(options.patience, tell)
        check_folder(self.folder, resume=options.resume)
        weight_files = [prefix + name for prefix in ("", "compact-") for name in (BEST, LAST)]
        with sole_writer(self.folder, [CHECKPOINT, CSV, *weight_files]):
            check_folder(self.folder, resume=options.resume)  # another process may have begun one in between
            if options.resume:
                self.load_checkpoint()
            else:
                write_bytes(self.folder / RECIPE, json.dumps(self.learner.recipe.to_dict(), indent=1).encode())
                write_preview(self.folder / PREVIEW, self.learner.batches, self.learner.spec.classes)
                tell(f"the first crops with their labels: {self.folder / PREVIEW}")
                self.save_checkpoint()  # a run that is killed early can be resumed too
            with closing(_Run(self, options, on_step, on_epoch)) as run:
                run.go()
            return self.progress

    def advance(self, **changes: Any) -> None:
        """Replace fields of the progress."""
        self.progress = dataclasses.replace(self.progress, **changes)

    def save_checkpoint(self) -> None:
        """Write what `load_checkpoint` goes on from."""
        self.learner.sync()
        save_checkpoint(self.checkpoint, self.learner.state(), self.progress, self.learner.identity())

    def load_checkpoint(self) -> None:
        """Go back to the last checkpoint; the best score is that of the file, which may be newer than the checkpoint.

        Raises:
            ModelError: it does not fit, or is damaged.
            UsageError: it is beyond the end of the recipe.
        """
        learner = self.learner
        learner.drain()
        learner.sync()  # what the steps hold is given up
        progress = load_checkpoint(self.checkpoint, learner.state(), learner.identity())
        if progress.step > learner.total_steps:
            raise UsageError(f"{self.folder} is at step {progress.step} of {learner.total_steps} already: ask for more epochs")
        if learner.pruning is not None:
            learner.pruning.restart()
        self.progress = dataclasses.replace(progress, best_miou=_score(self.folder / BEST))

    def train_step(self, images: Any, counts: Any) -> Losses:
        """Begin the next step on a batch; returns the losses known by now."""
        step = self.progress.step + 1
        losses = self.learner.step(step, images, counts)
        self.advance(step=step)
        return losses

    def passed(self, epochs: int) -> bool:
        """Whether the step just done completed a multiple of `epochs` epochs."""
        step, done = self.progress.step, self.learner.batches.epochs
        return done(step) // epochs > done(step - 1) // epochs

    def validate(self, *, keep: bool = False) -> Scores:
        """Score the averaged weights on the validation split; save them if they are the best.

        Args:
            keep: also write `last.safetensors`.
        """
        weights = self.learner.averaged()
        result = self.learner.score(weights)
        self._save(weights, result, keep=keep)
        return result

    def _save(self, weights: Weights, result: Scores, *, keep: bool) -> None:
        pruning = self.learner.pruning
        pruned = pruning is None or pruning.reached(self.progress.step)
        better = pruned and result.miou_strict > self.progress.best_miou
        if better:
            self.advance(best_miou=result.miou_strict)
        if pruned:
            self.patience.saw(result.miou_strict, best=self.progress.best_miou, better=better)
        keep = keep or self.patience.exhausted
        recipe = self.learner.recipe.to_dict()
        for part, key in ((recipe, "initial"), (recipe["distillation"] or {"teacher": ""}, "teacher")):
            if "://" not in part[key]:
                part[key] = Path(part[key]).name  # where a file lay on this machine is nobody else's business
        about = {
            "recipe": recipe,
            "history": list(self.progress.history),
            "step": self.progress.step,
            "minutes": round(self.progress.seconds / 60, 1),
            "miou_strict": result.miou_strict,
            "answers_unlabeled": self.learner.recipe.void == "class" and self.learner.spec.classes.void is not None,
        }
        if result.miou_omz is not None:
            about["miou_omz"] = result.miou_omz
        weights = dataclasses.replace(weights, about=about)
        compacted = pruning.compacted(weights) if pruning and pruned else None
        for name in [BEST] * better + [LAST] * keep:
            if compacted is not None:  # first, because a resumed run takes the other one's score for both
                save_weights(self.folder / f"compact-{name}", compacted)
            save_weights(self.folder / name, weights)


class _Run:
    """One part of a run: from its start or resumption to its end, or to where it is stopped."""

    def __init__(self, trainer: Trainer, options: RunOptions, on_step: OnStep, on_epoch: OnEpoch):
        self._trainer, self._options = trainer, options
        self._on_step, self._on_epoch = on_step, on_epoch
        step, batches = trainer.progress.step, trainer.learner.batches
        reported, recipe = trainer.progress.reported, trainer.learner.recipe.to_dict()
        self._log = TrainingLog(trainer.folder, reported, open_tracker(options.tracker, trainer.folder, reported, recipe))
        self._stream = batches.stream(step, trainer.learner.place)
        self._clock = Clock(trainer.progress.seconds, batches.samples(step))
        self._stopping = False

    def close(self) -> None:
        self._stream.close()
        self._log.close()

    def go(self) -> None:
        trainer = self._trainer
        if trainer.progress.losses and (trainer.finished or trainer.passed(1)):  # killed between an epoch's last step and its end
            self._end_epoch(last=trainer.finished)
            trainer.save_checkpoint()
        while not (self._stopping or trainer.finished):
            self._step(*next(self._stream))

    def _step(self, images: Any, counts: Any) -> None:
        """One step, and what is due after it."""
        trainer = self._trainer
        self._tell(trainer.train_step(images, counts))
        due = self._clock.since_saved() >= self._options.save_minutes * 60
        last, epoch = self._stopping or self._spent() or trainer.finished, trainer.passed(1)
        if last or due or epoch:
            self._tell(trainer.learner.drain())  # what is logged or saved must be known to the last step
            last = last or self._stopping
        if last:
            self._stopping = True
            trainer.save_checkpoint()  # nothing may be lost if the validation is interrupted
        validated = (last or epoch) and self._end_epoch(last=last)
        if validated or due:
            trainer.save_checkpoint()
            self._clock.saved = time.monotonic()

    def _spent(self) -> bool:
        budget = self._options.max_minutes
        return budget is not None and self._clock.elapsed() >= budget * 60

    def _tell(self, known: Losses) -> None:
        """Keep and report losses."""
        trainer = self._trainer
        losses = (*trainer.progress.losses, *(loss for _, loss in known))
        trainer.advance(seconds=self._clock.total(), losses=losses)
        for step, loss in known:
            if not self._on_step(StepReport(step, trainer.learner.total_steps, loss)):
                self._stopping = True

    def _end_epoch(self, *, last: bool) -> bool:
        """Log an epoch, or a part of one, and validate if it is time to; tells whether it was."""
        trainer, learner = self._trainer, self._trainer.learner
        step, images = trainer.progress.step, learner.batches.samples(trainer.progress.step)
        values = {
            "epoch": learner.batches.epochs(step),
            "minutes": trainer.progress.seconds / 60,
            "images_per_second": self._clock.rate(images),
            "learning_rate": learner.rate(step),
            "loss": float(np.mean(trainer.progress.losses)),
        }
        validated = last or trainer.passed(self._options.validate_every)
        if validated:
            result = trainer.validate(keep=last)
            self._stopping = self._stopping or trainer.patience.exhausted
            values |= {"miou_strict": result.miou_strict}
            values |= {} if result.miou_omz is None else {"miou_omz": result.miou_omz}
        self._log.write(step, values)
        self._on_epoch(values)
        self._clock.restart(images)
        trainer.advance(losses=())
        return validated


def _history(initial: Weights | None) -> tuple[dict[str, Any], ...]:
    """What made the weights that a run starts from, the first run first."""
    if initial is None:
        return ()
    told = ("recipe", "step", "minutes", "miou_strict", "data", "licence", "origin")
    last = {key: initial.about[key] for key in told if key in initial.about}
    return (*initial.about.get("history", []), last)


def _score(path: Path) -> float:
    """The strict mIoU that a weight file of a run carries; -1, below every score, if there is no such file."""
    try:
        return float(load_weights(path).about["miou_strict"])
    except (ModelError, KeyError, TypeError, ValueError):
        return -1.0
