"""One optimizer step: by Keras on every backend, or compiled whole for JAX with its state kept on the device."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np

from icnet.training.average import WeightAverage

if TYPE_CHECKING:
    from icnet.training.objective import Objective

Losses = list[tuple[int, float]]
"""(number of a step, its loss), in the order of the steps."""


class OptimizerStep(Protocol):
    """Trains compiled models that share their variables one batch at a time, the moving average included.

    A device may work on several steps while the host prepares the next, so losses are told late and the Keras variables
    may stand still: call `drain` before the last losses are needed and `sync` before the variables are read or changed.
    """

    def place(self, batch: Any) -> Any:
        """Begin to copy a batch to where `run` wants it; may be called from any thread, long before `run`."""
        ...

    def run(self, step: int, images: Any, targets: Any, learning_rate: float) -> Losses:
        """Begin one step.

        Args:
            step: its number, from 1; the moving average depends on it.
            images: (N, H, W, 3) BGR, 0 to 255, of any numeric type; the model for H and W takes them.
            targets: what the loss of every head takes.
            learning_rate: of this step.

        Returns:
            The losses that have become known since they were last told.
        """
        ...

    def drain(self) -> Losses:
        """Wait for every step begun and tell the losses that are left."""
        ...

    def sync(self) -> None:
        """Give the Keras variables of model, optimizer and average their present values; the next `run` reads them again."""
        ...


def optimizer_step(objective: "Objective", average: WeightAverage) -> OptimizerStep:
    """The fastest step for the backend in use; `average` is that of the objective's trainable variables."""
    if on_torch_cpu():
        from icnet.training.torch_step import TorchStep

        return TorchStep(objective, average)
    return (JaxStep if keras.backend.backend() == "jax" else KerasStep)(objective.models, average)


def on_torch_cpu() -> bool:
    """Whether PyTorch on the CPU is at work, for which we have functions of our own."""
    return keras.backend.backend() == "torch" and bool(keras.Variable(0.0).value.device.type == "cpu")


def imitates_bfloat16() -> bool:
    """Whether a CPU without instructions for bfloat16 is at work: PyTorch then takes tens of times as long as in float32."""
    if not on_torch_cpu():
        return False
    import torch

    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # of PyTorch 2.9 and later
    return bool(known) and not any(has for name, has in known.items() if "bf16" in name)


class KerasStep:
    """`keras.Model.train_on_batch`: the Keras variables are always up to date and every loss is told at once."""

    def __init__(self, models: Sequence[keras.Model], average: WeightAverage):
        """Train `models`: for different input sizes, with the same variables in the same order, compiled with one optimizer."""
        self._models, self._average = _by_size(models), average

    def place(self, batch: Any) -> Any:
        return batch

    def run(self, step: int, images: Any, targets: Any, learning_rate: float) -> Losses:
        model = self._models[images.shape[1:3]]
        model.optimizer.learning_rate = learning_rate
        model.reset_metrics()  # Keras would report the mean over all steps so far
        logs = model.train_on_batch(images, [targets] * len(model.outputs), return_dict=True)
        self._average.update(step)
        return [(step, float(logs["loss"]))]

    def drain(self) -> Losses:
        return []

    def sync(self) -> None:
        pass


class JaxStep:
    """The same arithmetic as one compiled function that owns its state.

    `train_on_batch` hands some hundred arrays to Keras and waits for the loss after every step, which leaves a fast device
    idle. Here the state passes from call to call, its memory is reused, and losses are read `lag` steps late.
    """

    def __init__(self, models: Sequence[keras.Model], average: WeightAverage, *, lag: int = 2):
        """`lag` 0 waits for every step."""
        import jax  # present only where it is the backend

        self._jax, self._models = jax, _by_size(models)
        self._average, self._lag = average, lag
        first, self._optimizer = models[0], models[0].optimizer
        variables, rate = self._optimizer.variables, self._optimizer.learning_rate
        self._rate = next(index for index, variable in enumerate(variables) if variable is rate)
        self._variables = [first.trainable_variables, first.non_trainable_variables, variables, average.values]
        self._state: list[list[Any]] | None = None  # values of `_variables`; None: the Keras variables hold them
        self._open: deque[tuple[int, Any]] = deque()
        self._copy = jax.jit(lambda state: jax.tree.map(jax.numpy.copy, state))
        self._update = jax.jit(self._updated, donate_argnums=0)
        self._blend = jax.jit(_blended, donate_argnums=0)

    def place(self, batch: Any) -> Any:
        return self._jax.device_put(batch)

    def run(self, step: int, images: Any, targets: Any, learning_rate: float) -> Losses:
        if self._state is None:
            # Copies, because what `_update` is given is gone afterwards, and the Keras variables must stay readable.
            self._state = self._copy([[variable.value for variable in group] for group in self._variables])
        *state, average = self._state
        # A bare float would come back with a "weak" type, and the next step would be compiled again for it.
        state, loss = self._update(state, images, targets, np.float32(learning_rate))
        share = self._average.share(step)
        if share:
            average = self._blend(average, state[0], share)
        self._state = [*state, average]
        self._open.append((step, loss))
        return self._finished(self._lag)

    def _updated(self, state: Any, images: Any, targets: Any, learning_rate: Any) -> Any:
        """State and loss after one step; JAX traces this once for every shape of `images`."""
        model = self._models[images.shape[1:3]]
        trainable, fixed, optimizer = state
        optimizer = [*optimizer[: self._rate], learning_rate, *optimizer[self._rate + 1 :]]
        metrics = [self._jax.numpy.zeros(variable.shape) for variable in model.metrics_variables]  # Keras wants to count
        gradient = self._jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)
        (_, (loss, _, fixed, _)), gradients = gradient(
            trainable, fixed, metrics, images, [targets] * len(model.outputs), None, training=True, optimizer_variables=optimizer
        )
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, trainable)
        return [trainable, fixed, optimizer], loss

    def _finished(self, still_open: int) -> Losses:
        losses = []
        while len(self._open) > still_open:
            step, loss = self._open.popleft()
            losses.append((step, float(loss)))
        return losses

    def drain(self) -> Losses:
        return self._finished(0)

    def sync(self) -> None:
        if self._state is None:
            return
        for variables, values in zip(self._variables, self._state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self._state = None  # the arrays are Keras' now


def _by_size(models: Sequence[keras.Model]) -> dict[tuple[int, int], keras.Model]:
    """Models by H and W of their input."""
    for model in models:  # values are passed around by position
        assert all(one is other for one, other in zip(model.variables, models[0].variables, strict=True))
    return {tuple(model.input_shape[1:3]): model for model in models}


def _blended(average: list[Any], values: list[Any], share: float) -> list[Any]:
    return [old + share * (new - old) for old, new in zip(average, values, strict=True)]
