"""A network in training: its steps, moving average, pruning and score. Where its files lie is the trainer's business."""

import math
from functools import partial
from typing import Any

import keras
import numpy as np

from icnet.base.errors import TrainingError, UsageError
from icnet.base.sample import Dataset
from icnet.base.stderr import native_messages_dropped
from icnet.data.batches import Batches, BatchOptions
from icnet.data.survey import survey
from icnet.data.taught import Taught
from icnet.evaluation.accuracy import Network, evaluate, probabilities
from icnet.evaluation.reference import KerasNetwork, TorchNetwork, keras_network
from icnet.evaluation.scores import Scores
from icnet.network.keras_model import build
from icnet.network.keras_weights import as_stored, digest, get_weights, set_weights
from icnet.network.spec import Spec
from icnet.network.weights import Weights, calibrated
from icnet.training.average import WeightAverage
from icnet.training.grow import grow
from icnet.training.heads import carried
from icnet.training.objective import objective
from icnet.training.pruning import GradualPruning
from icnet.training.recipe import Recipe, crop_stages, learning_rate
from icnet.training.steps import Losses, on_torch_cpu, optimizer_step


class Learner:
    """One network, the images that it learns from and those that it is scored on."""

    def __init__(
        self,
        spec: Spec,
        recipe: Recipe,
        train: Dataset,
        val: Dataset,
        *,
        initial: Weights | None = None,
        teacher: Weights | None = None,
    ):
        """Build the network `spec`, to be trained by `recipe` on `train` and scored on `val`, from which it never learns.

        Args:
            spec: the network, for the classes of the datasets.
            recipe: how to train it.
            train: images to learn from.
            val: images to score.
            initial: what `recipe.initial` names: weights to start from, of this network or a narrower one, and of any classes:
                see `icnet.training.heads.carried`.
            teacher: what `recipe.distillation.teacher` names.

        Raises:
            UsageError: the crop does not fit the strides, a dataset is empty, or the datasets or the teacher have other classes.
            ModelError: the initial weights belong to another network.
        """
        if not len(train) or not len(val):
            raise UsageError("training and validation need at least one image each: check the dataset folder")
        tables = {"training data": train.classes, "validation data": val.classes}
        for what, table in (tables | ({"teacher": teacher.spec.classes} if teacher else {})).items():
            if table.names != spec.classes.names:
                raise UsageError(f"the {what} has other classes than the network: give both the same, in the same order")
        if keras.backend.backend() == "tensorflow" and min(stage.size for stage in crop_stages(recipe, len(train))) < 2:
            # The filter gradient of a 1x1 convolution with stride 2 writes beyond its memory (2.21, oneDNN).
            raise UsageError("TensorFlow cannot train on batches of one crop: use two or more, or set KERAS_BACKEND=torch")
        with native_messages_dropped():  # it loads TensorFlow where that is installed
            keras.utils.set_random_seed(recipe.seed)
        self.spec, self.train, self.val = spec, train, val
        self.initial, self._teacher = initial, teacher
        if recipe.answered:
            assert teacher is not None, "distillation needs the teacher's weights"
            network = TorchNetwork(teacher) if on_torch_cpu() else keras_network(teacher)
            self.train = Taught(train, partial(probabilities, network, temperature=recipe.answered.temperature))
        self._lay_out(recipe)
        self._survey = survey(train)
        crops_hw = [stage.crop_hw for stage in self.batches.options.stages]
        imitated = teacher if recipe.imitated else None
        self.objective = objective(spec, recipe, crops_hw, self._survey.counts, teacher=imitated)
        self.model = self.objective.network
        if initial is not None:
            set_weights(self.model, grow(carried(initial, spec.classes, seed=recipe.seed), spec, seed=recipe.seed))
        self._whole: keras.Model | None = None
        self.average = WeightAverage(self.objective.models[0].trainable_variables, recipe.ema_momentum)
        self._stepper = optimizer_step(self.objective, self.average)
        self.place = self._stepper.place
        self.pruning = GradualPruning(self.model, self.spec.classes, recipe.pruning, self.total_steps) if recipe.pruning else None

    def _lay_out(self, recipe: Recipe) -> None:
        self.recipe, stages = recipe, crop_stages(recipe, len(self.train))
        share = recipe.answered.weight / (1 + recipe.answered.weight) if recipe.answered else 0.0
        options = BatchOptions(stages, self.spec.size_hw, recipe.augmentation, recipe.seed, answers_share=share)
        self.batches = Batches(self.train, options)
        self.total_steps = sum(stage.batches for stage in stages)

    def plan(self, recipe: Recipe) -> None:
        """Train by `recipe`, which differs in its epochs alone, from the first step on."""
        self._lay_out(recipe)
        if recipe.pruning:
            self.pruning = GradualPruning(self.model, self.spec.classes, recipe.pruning, self.total_steps)

    @property
    def counts(self) -> np.ndarray:
        """(C,) int64, pixels of each class that there are to learn from."""
        return self._survey.counts

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on.

        The number of epochs may change, the learning rate then follows the new one; but not where it also decides when the
        crops change or what is pruned by now. So may the precision, for not every machine has bfloat16.
        """
        recipe = self.recipe.to_dict()
        del recipe["precision"]
        if not (self.recipe.final or self.recipe.pruning):
            del recipe["epochs"]
        teacher = {"teacher": digest(self._teacher)} if self._teacher else {}
        return {"network": self.spec.to_dict(), "recipe": recipe, "training data": self._survey.digest, **teacher}

    def state(self) -> dict[str, keras.Variable]:
        """Every variable of the training by a name that is the same in the next process."""
        named = {f"model/{variable.path}": variable for variable in self.model.weights}
        named |= {f"seed/{index}": variable for index, variable in enumerate(_seeds(self.model))}
        # Optimizer paths are not unique on every backend; their order is fixed.
        named |= {f"optimizer/{index}": variable for index, variable in enumerate(self.objective.optimizer.variables)}
        return named | {f"average/{index}": variable for index, variable in enumerate(self.average.values)}

    def rate(self, step: int) -> float:
        """The learning rate of step number `step`, from 1."""
        return learning_rate(self.recipe, step - 1, self.total_steps)

    def step(self, number: int, images: Any, counts: Any, *, rate: float | None = None) -> Losses:
        """Begin optimizer step `number`, from 1, average and pruning included; returns the losses known by now.

        Raises:
            TrainingError: one of them is not finite.
        """
        losses = self._stepper.run(number, images, counts, self.rate(number) if rate is None else rate)
        if self.pruning is not None and self.pruning.due(number):
            self.sync()
            self.pruning.prune(number)
        return _finite(losses, self.recipe)

    def drain(self) -> Losses:
        """The losses of the steps that are still under way, when they are done; as `step`."""
        return _finite(self._stepper.drain(), self.recipe)

    def sync(self) -> None:
        """Bring the Keras variables up to date."""
        self._stepper.sync()

    def averaged(self) -> Weights:
        """The moving average of the weights, rounded as a file holds them."""
        self.sync()
        with self.average.applied():
            return as_stored(get_weights(self.model, self.spec))

    def score(self, weights: Weights, images: int | None = None) -> Scores:
        """Of `weights` on the validation split, or on the first `images` of it."""
        count = len(self.val) if images is None else images
        return evaluate((self.val[index] for index in range(count)), self.network(weights)).scores

    def network(self, weights: Weights) -> Network:
        """`weights` for validation: plain float32, as users will run them. The next one may take the place of this."""
        if on_torch_cpu():
            return TorchNetwork(weights)
        self._whole = self._whole or build(self.spec)
        set_weights(self._whole, calibrated(weights))
        return KerasNetwork(self._whole, self.spec.classes)


def _seeds(model: keras.Model) -> list[keras.Variable]:
    """States of the model's random number generators, which Keras does not count among its weights."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _finite(losses: Losses, recipe: Recipe) -> Losses:
    for step, loss in losses:
        if not math.isfinite(loss):
            advice = [f"--learning-rate {recipe.learning_rate / 3:.1g}"]
            advice += [] if recipe.clip_norm else ["--set clip_norm=5"]
            advice += ["--precision float32"] if recipe.precision == "bfloat16" else []
            raise TrainingError(
                f"the loss became {loss} at step {step}: the last checkpoint and the best weights so far stay; start anew in "
                f"another folder with {' and '.join(advice)}, and look at train_batches.jpg for wrong labels"
            )
    return losses
