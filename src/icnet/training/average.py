"""Exponential moving average of a model's weights."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import ops


class WeightAverage:
    """Averages trainable variables over training steps (Polyak and Juditsky 1992, with exponential forgetting).

    It is updated every `every` steps with the momentum raised to that power: the same average to within the change of
    the weights over a few steps, for a fraction of the memory traffic.
    """

    def __init__(self, variables: list[keras.Variable], momentum: float, every: int = 8):
        """Start the average at the present values of `variables`."""
        self._variables, self._every = variables, every
        self._momentum = momentum**every
        self.values = [
            keras.Variable(ops.copy(variable.value), trainable=False, name=f"average_{index}")
            for index, variable in enumerate(variables)
        ]

    def share(self, step: int) -> float:
        """How much of the weights after step number `step` (from 1) enters the average; 0 where it is left alone."""
        if step % self._every:
            return 0.0
        # Early on the average forgets faster, so that the random start does not linger.
        return 1 - min(self._momentum, 1 - 1 / math.sqrt(1 + step / self._every))

    def update(self, step: int) -> None:
        """Take in the weights after step number `step` (from 1)."""
        share = self.share(step)
        if not share:
            return
        for average, variable in zip(self.values, self._variables, strict=True):
            average.assign_add(share * (variable.value - average.value))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights; afterwards the trained ones again."""
        trained = [ops.convert_to_numpy(variable).copy() for variable in self._variables]
        try:
            for variable, average in zip(self._variables, self.values, strict=True):
                variable.assign(ops.copy(average.value))  # JAX gives a shared buffer away with the next step
            yield
        finally:
            for variable, value in zip(self._variables, trained, strict=True):
                variable.assign(value)
