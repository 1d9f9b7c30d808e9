"""The training loop: steps, moving average, validation, checkpoints, budget."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from icnet.base.classes import NAMES
from icnet.base.errors import UsageError
from icnet.base.metrics import Scores, confusion_matrix, scores
from icnet.base.spec import IcnetSpec
from icnet.base.weights import Weights, save_weights
from icnet.data.batches import Batches, BatchOptions
from icnet.data.sample import Dataset
from icnet.net.icnet import build
from icnet.net.layers import KerasOps
from icnet.net.losses import PixelCrossEntropy, class_weights
from icnet.net.weights import get_weights, set_weights
from icnet.runtime.decode import decode
from icnet.runtime.preprocess import resize_frame
from icnet.training.average import WeightAverage
from icnet.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from icnet.training.log import TrainingLog
from icnet.training.recipe import Recipe, learning_rate


@dataclass(frozen=True)
class RunOptions:
    """What a run needs besides its recipe; none of it changes the result of a step."""

    max_minutes: float | None = None
    """Stop cleanly and save after this much time."""
    resume: bool = False
    """Go on from the checkpoint in the folder, if there is one."""
    validate_every: int = 5
    """Epochs between validations; the last epoch is always validated."""
    save_minutes: float = 5.0
    """Time between checkpoints."""


@dataclass(frozen=True)
class StepReport:
    """Sent after every step."""

    step: int
    total_steps: int
    loss: float


def count_classes(dataset: Dataset) -> np.ndarray:
    """Labelled pixels per class over a whole dataset, (12,) int64."""
    return sum(
        (np.bincount(dataset[index].labels.ravel(), minlength=len(NAMES)) for index in range(len(dataset))),
        start=np.zeros(len(NAMES), np.int64),
    )


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
        self.whole = build(spec, ops=shared)
        """The same weights on whole images, for validation and for saving."""
        if initial is not None:
            set_weights(self.model, initial)
        self._compile(class_weights(count_classes(train), recipe.class_weight_offset))
        self.progress = Progress()

    def _compile(self, weights: np.ndarray) -> None:
        optimizer = keras.optimizers.AdamW(
            self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
        )
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        loss = [PixelCrossEntropy(weights) for _ in self.recipe.cascade]
        self.model.compile(optimizer=optimizer, loss=loss, loss_weights=list(self.recipe.cascade), jit_compile=keras.backend.backend() == "jax")
        optimizer.build(self.model.trainable_variables)
        self.average = WeightAverage(self.model.trainable_variables, self.recipe.ema_momentum)

    def _about(self) -> dict[str, Any]:
        return {"spec": self.spec.to_dict(), "recipe": self.recipe.to_dict()}

    def _state(self) -> dict[str, keras.Variable]:
        """Every variable of the run by a name that is the same in the next process."""
        named = {f"model/{variable.path}": variable for variable in self.model.weights}
        # Optimizer paths are not unique on every backend; their order is fixed.
        named |= {f"optimizer/{index}": variable for index, variable in enumerate(self.model.optimizer.variables)}
        return named | {f"average/{index}": variable for index, variable in enumerate(self.average.values)}

    def run(self, options: RunOptions | None = None, report: Callable[[StepReport], None] | None = None) -> Progress:
        """Train to the end of the recipe or of the time budget.

        Args:
            options: budget, resuming, intervals.
            report: called after every step.

        Returns:
            Where the run stands now; it is finished when `step` equals `total_steps`.

        Raises:
            UsageError: the folder holds a run and `resume` is not set.
            ModelError: the checkpoint to resume from does not fit.
        """
        options = options or RunOptions()
        checkpoint = self.folder / "checkpoint.safetensors"
        if checkpoint.exists():
            if not options.resume:
                raise UsageError(f"{self.folder} already holds a run: add --resume to go on with it, or choose another folder")
            self.progress = load_checkpoint(checkpoint, self._state(), self._about())
        log = TrainingLog(self.folder)
        stream = self.batches.stream(self.progress.step)
        try:
            self._loop(stream, options, log, report or (lambda _: None))
        finally:
            stream.close()
            log.close()
        return self.progress

    def _loop(self, stream, options: RunOptions, log: TrainingLog, report: Callable[[StepReport], None]) -> None:
        start = saved = time.monotonic()
        before = self.progress.seconds
        per_epoch = self.batches.per_epoch
        losses: list[float] = []
        epoch_start, epoch_step = start, self.progress.step
        while self.progress.step < self.total_steps:
            loss = self.train_step(*next(stream))
            losses.append(loss)
            now = time.monotonic()
            step = self.progress.step + 1
            self.average.update(step)
            self.progress = dataclasses.replace(self.progress, step=step, seconds=before + now - start)
            report(StepReport(step, self.total_steps, loss))
            out_of_time = options.max_minutes is not None and now - start >= options.max_minutes * 60
            finished = step == self.total_steps or out_of_time
            if step % per_epoch == 0 or finished:
                epoch = step // per_epoch
                values = {
                    "epoch": step / per_epoch,
                    "minutes": self.progress.seconds / 60,
                    "images_per_second": (step - epoch_step) * self.recipe.batch_size / (now - epoch_start),
                    "learning_rate": learning_rate(self.recipe, step - 1, self.total_steps),
                    "loss": float(np.mean(losses)),
                }
                if finished or epoch % options.validate_every == 0:
                    result = self.validate(keep=finished)
                    values |= {"miou_strict": result.miou_strict, "miou_omz": result.miou_omz}
                log.write(step, values)
                losses.clear()
                epoch_start, epoch_step = time.monotonic(), step
            if finished or time.monotonic() - saved >= options.save_minutes * 60:
                save_checkpoint(self.folder / "checkpoint.safetensors", self._state(), self.progress, self._about())
                saved = time.monotonic()
            if finished:
                break

    def train_step(self, images: np.ndarray, labels: np.ndarray) -> float:
        """One optimizer step on a batch; returns its loss."""
        self.model.optimizer.learning_rate = learning_rate(self.recipe, self.progress.step, self.total_steps)
        self.model.reset_metrics()  # Keras would report the mean over all steps so far
        logs = self.model.train_on_batch(images, [labels] * len(self.recipe.cascade), return_dict=True)
        return float(logs["loss"])

    def validate(self, *, keep: bool = False) -> Scores:
        """Score the averaged weights on the validation split by DESIGN's protocol and save them if they are the best.

        Args:
            keep: also write `last.safetensors`.
        """
        with self.average.applied():
            result = score(self.whole, self.spec, self.val)
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


def score(model: keras.Model, spec: IcnetSpec, dataset: Dataset) -> Scores:
    """Strict and omz accuracy of a Keras model that `build` made at the spec's own size.

    Images and ground truth are resized to that size, bilinear and nearest.
    """
    matrix = np.zeros((len(NAMES), len(NAMES)), np.int64)
    height, width = spec.size_hw
    for index in range(len(dataset)):
        sample = dataset[index]
        raw = keras.ops.convert_to_numpy(model.predict_on_batch(resize_frame(sample.image, spec.size_hw)))
        truth = cv2.resize(sample.labels, (width, height), interpolation=cv2.INTER_NEAREST)
        matrix += confusion_matrix(truth, decode(raw.transpose(0, 3, 1, 2), "logits", spec.size_hw))
    return scores(matrix)
