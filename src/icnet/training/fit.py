"""How many epochs fit into a given time, found by timing steps and validations."""

import math
import time
from contextlib import closing

from icnet.base.errors import UsageError
from icnet.pruning.masks import to_numpy
from icnet.training.learner import Learner

STEPS, IMAGES, RESERVE = (4, 12), 4, 0.03
"""Untimed and timed steps of every stage, images validated, and the share of the time that is left over."""


def epochs_that_fit(learner: Learner, minutes: float, *, validate_every: int) -> int:
    """The number of epochs with which a run, its validations and the end of its schedule included, takes `minutes`.

    Some steps of every stage are timed, and a validation of a few images; this and reading the data are not part of the time. The
    variables are as before afterwards. The learner's recipe says everything but the epochs, `validate_every` is counted in them.

    Raises:
        UsageError: not even one epoch fits; the message says what would.
    """
    start = {name: to_numpy(value) for name, value in learner.state().items()}
    seconds, first = 0.0, 0
    for stage in learner.batches.options.stages:
        # In an epoch, on average.
        seconds += stage.batches / learner.recipe.epochs * step_seconds(learner, first, stage.batches)
        first += stage.batches
    validation = validation_seconds(learner)
    for name, value in learner.state().items():
        value.assign(start[name])
    epoch, reserve = seconds + validation / validate_every, 60 * (1 - RESERVE)
    epochs = math.floor((reserve * minutes - validation) / epoch)
    if epochs < 1:
        least = math.ceil((epoch + validation) / reserve)
        raise UsageError(f"an epoch does not fit into {minutes:g} minutes here: give {least} or smaller crops")
    return epochs


def step_seconds(learner: Learner, first: int, batches: int) -> float:
    """Time of a step on the stage of `batches` batches that begins with number `first`, made as they are in a run."""
    warm_up = min(STEPS[0], batches - 1)
    with closing(learner.batches.stream(first, learner.place)) as stream:
        for count in (warm_up, min(STEPS[1], batches - warm_up)):  # the first ones compile
            begin = time.monotonic()
            for _ in range(count):
                learner.step(1, *next(stream), rate=0.0)
            learner.drain()
            seconds = (time.monotonic() - begin) / max(count, 1)
    return seconds


def validation_seconds(learner: Learner) -> float:
    """Time of a validation, from a few of its images."""
    weights, few = learner.averaged(), min(IMAGES, len(learner.val))
    learner.score(weights, 1)
    begin = time.monotonic()
    learner.score(weights, few)
    return (time.monotonic() - begin) / few * len(learner.val)
