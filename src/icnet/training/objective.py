"""What is optimised: the network with its heads, losses and optimizer, once for every crop size of a run."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from icnet.base.classes import Classes
from icnet.network.graph import trunk_convolutions
from icnet.network.keras_layers import KerasOps, Shape, Tensor
from icnet.network.keras_model import build
from icnet.network.keras_weights import set_weights, variables
from icnet.network.spec import Spec
from icnet.network.weights import Weights
from icnet.training.losses import DistilledLoss, Hard, SegmentationLoss, class_weights
from icnet.training.recipe import Recipe


class Frozen(layers.Layer):
    """A trained network inside another model: it runs as in inference and learns nothing."""

    def __init__(self, model: keras.Model, **options: Any) -> None:
        """Run `model`."""
        super().__init__(trainable=False, **options)
        self.model = model
        self.model.trainable = False

    def call(self, x: Tensor) -> Tensor:
        return ops.stop_gradient(self.model(x, training=False))

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self.model.output_shape[1:])


@dataclass(frozen=True)
class Objective:
    """Compiled models that share every variable and one optimizer, and what they were made of."""

    spec: Spec
    recipe: Recipe
    network: keras.Model
    """The network with its three heads and nothing else; its weights are what is learnt and saved."""
    models: tuple[keras.Model, ...]
    """One for each crop size: what a training step runs. The class counts of a batch go to every output."""
    losses: tuple[keras.losses.Loss, ...]
    """One for each head."""
    rates: tuple[float, ...]
    """Of each trainable variable, times the learning rate."""
    teacher: Weights | None

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of all models."""
        return self.models[0].optimizer


def objective(
    spec: Spec, recipe: Recipe, crops_hw: list[tuple[int, int]], counts: np.ndarray, *, teacher: Weights | None = None
) -> Objective:
    """Build the network with fresh weights and what it is trained for.

    Args:
        spec: the network.
        recipe: losses, optimizer, precision.
        crops_hw: one size for each stage of the run.
        counts: (C,) pixels per class in the training data.
        teacher: to be imitated by the main head as `recipe.imitated` says.

    Raises:
        UsageError: a crop does not fit the strides.
    """
    masks = recipe.pruning.granularity if recipe.pruning else None
    shared, shared_teacher = KerasOps(precision=recipe.precision, masks=masks), KerasOps(precision=recipe.precision)
    networks = [build(spec, size_hw, auxiliary=True, ops=shared) for size_hw in crops_hw]
    models = networks
    if recipe.imitated is not None:
        assert teacher is not None, "distillation needs the teacher's weights"
        models = [_with_teacher(network, teacher, shared_teacher) for network in networks]
    rates = _rates(networks[0], models[0], spec, recipe)
    optimizer = adamw(recipe, rates)
    optimizer.build(models[0].trainable_variables)
    losses = _losses(recipe, counts, spec.classes)
    for model in models:
        model.compile(optimizer, losses, loss_weights=list(recipe.cascade), jit_compile=networks[0].jit_compile)
    return Objective(spec, recipe, networks[0], tuple(models), tuple(losses), rates, teacher)


class RatedAdamW(keras.optimizers.AdamW):
    """AdamW with a factor of its own for the learning rate of every variable."""

    def __init__(self, *args: Any, rates: tuple[float, ...], **options: Any) -> None:
        """`rates` belong to the variables that `build` will be given, in order."""
        super().__init__(*args, **options)
        self._rates = rates

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        super().update_step(gradient, variable, learning_rate * self._rates[self._get_variable_index(variable)])

    def _use_weight_decay(self, variable: keras.Variable) -> bool:  # what has no rate stays as it is
        return bool(super()._use_weight_decay(variable) and self._rates[self._get_variable_index(variable)] > 0)


def adamw(recipe: Recipe, rates: tuple[float, ...] = ()) -> keras.optimizers.AdamW:
    """AdamW with the recipe's weight decay on kernels; gamma, beta and bias are left alone."""
    options = {"weight_decay": recipe.weight_decay, "global_clipnorm": recipe.clip_norm or None}
    if any(rate != 1 for rate in rates):
        optimizer = RatedAdamW(recipe.learning_rate, rates=rates, **options)
    else:
        optimizer = keras.optimizers.AdamW(recipe.learning_rate, **options)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _rates(network: keras.Model, model: keras.Model, spec: Spec, recipe: Recipe) -> tuple[float, ...]:
    """In the order of the variables of `model`, which is `network` with or without a teacher."""
    trunk = trunk_convolutions(spec)
    slow = {id(part.variable) for name, part in variables(network, spec).items() if name.rsplit("/", 1)[0] in trunk}
    return tuple(recipe.trunk_rate if id(variable) in slow else 1.0 for variable in model.trainable_variables)


def _losses(recipe: Recipe, counts: np.ndarray, classes: Classes) -> list[keras.losses.Loss]:
    """One for each head."""
    weights = class_weights(counts, recipe.class_weight_offset, classes)
    if classes.void is not None:
        weights[classes.void] = recipe.void_weight if recipe.void == "class" else 0
    hard = Hard(recipe.ohem_probability, recipe.ohem_share) if recipe.loss == "ohem" else None
    losses: list[keras.losses.Loss] = [
        SegmentationLoss(weights, classes, jaccard=recipe.jaccard, hard=hard) for _ in recipe.cascade
    ]
    if imitated := recipe.imitated:
        losses[0] = DistilledLoss(losses[0], imitated.weight, imitated.temperature)
    return losses


def _with_teacher(network: keras.Model, teacher: Weights, shared: KerasOps) -> keras.Model:
    """`network`, with the teacher's logits behind those of its main head, for `DistilledLoss`."""
    model = build(teacher.spec, network.input_shape[1:3], ops=shared)
    set_weights(model, teacher)
    full, *auxiliary = network.outputs
    taught = layers.Concatenate(name="taught")([full, Frozen(model, name="teacher")(network.input)])
    return keras.Model(network.input, [taught, *auxiliary], name=network.name)
