"""What is optimised: the network with its heads, losses and optimizer, once for every crop size of a run."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from icnet.base.spec import IcnetSpec
from icnet.base.weights import Weights
from icnet.net.icnet import build
from icnet.net.layers import KerasOps
from icnet.net.losses import DistilledLoss, Hard, SegmentationLoss, class_weights
from icnet.net.weights import set_weights
from icnet.training.recipe import Recipe


class Frozen(layers.Layer):
    """A trained network inside another model: it runs as in inference and learns nothing."""

    def __init__(self, model: keras.Model, **options):
        """Run `model`."""
        super().__init__(trainable=False, **options)
        self.model = model
        self.model.trainable = False

    def call(self, x):
        return ops.stop_gradient(self.model(x, training=False))

    def compute_output_shape(self, shape):
        return (shape[0], *self.model.output_shape[1:])


@dataclass(frozen=True)
class Objective:
    """Compiled models that share every variable and one optimizer."""

    network: keras.Model
    """The network with its three heads and nothing else; its weights are what is learnt and saved."""
    models: tuple[keras.Model, ...]
    """One for each crop size: what a training step runs. The labels of a batch go to every output."""

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of all models."""
        return self.models[0].optimizer


def objective(
    spec: IcnetSpec, recipe: Recipe, crops_hw: list[tuple[int, int]], counts: np.ndarray, *, teacher: Weights | None = None
) -> Objective:
    """Build the network with fresh weights and what it is trained for.

    Args:
        spec: the network.
        recipe: losses, optimizer, precision.
        crops_hw: one size for each stage of the run.
        counts: (12,) pixels per class in the training data.
        teacher: to be imitated by the main head as `recipe.distillation` says.

    Raises:
        UsageError: a crop does not fit the strides.
    """
    masks = recipe.pruning.granularity if recipe.pruning else None
    shared, shared_teacher = KerasOps(precision=recipe.precision, masks=masks), KerasOps(precision=recipe.precision)
    networks = [build(spec, size_hw, auxiliary=True, ops=shared) for size_hw in crops_hw]
    models = networks
    if recipe.distillation is not None:
        assert teacher is not None, "distillation needs the teacher's weights"
        models = [_with_teacher(network, teacher, shared_teacher) for network in networks]
    optimizer = adamw(recipe)
    optimizer.build(models[0].trainable_variables)
    losses = _losses(recipe, class_weights(counts, recipe.class_weight_offset))
    for model in models:
        model.compile(optimizer, losses, loss_weights=list(recipe.cascade), jit_compile=networks[0].jit_compile)
    return Objective(networks[0], tuple(models))


def adamw(recipe: Recipe) -> keras.optimizers.AdamW:
    """AdamW with the recipe's weight decay on kernels; gamma, beta and bias are left alone."""
    optimizer = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _losses(recipe: Recipe, weights: np.ndarray) -> list[keras.losses.Loss]:
    """One for each head."""
    hard = Hard(recipe.ohem_probability, recipe.ohem_share) if recipe.loss == "ohem" else None
    losses: list[keras.losses.Loss] = [SegmentationLoss(weights, jaccard=recipe.jaccard, hard=hard) for _ in recipe.cascade]
    if recipe.distillation is not None:
        losses[0] = DistilledLoss(losses[0], recipe.distillation.weight, recipe.distillation.temperature)
    return losses


def _with_teacher(network: keras.Model, teacher: Weights, shared: KerasOps) -> keras.Model:
    """`network`, with the teacher's logits behind those of its main head, for `DistilledLoss`."""
    model = build(teacher.spec, network.input_shape[1:3], ops=shared)
    set_weights(model, teacher)
    full, *auxiliary = network.outputs
    taught = layers.Concatenate(name="taught")([full, Frozen(model, name="teacher")(network.input)])
    return keras.Model(network.input, [taught, *auxiliary], name=network.name)
