"""A short run that kills itself with SIGKILL where it is told to; `test_resume.py` starts it in processes of its own."""

import dataclasses
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path

from tiny_network import TINY, Blocks

from icnet.pruning.masks import to_numpy
from icnet.training import trainer as room
from icnet.training.clock import Clock
from icnet.training.determinism import make_deterministic
from icnet.training.learner import Learner
from icnet.training.log import TrainingLog
from icnet.training.recipe import Pruning, Recipe
from icnet.training.trainer import BEST, CHECKPOINT, RunOptions, StepReport, Trainer

SPEC = dataclasses.replace(TINY, blocks=(1, 1, 1, 1))
DENSE = Recipe(epochs=4, batch_size=2, crop_hw=(64, 96), learning_rate=1e-2, warmup_steps=4, ema_momentum=0.9)
RECIPE = dataclasses.replace(DENSE, pruning=Pruning(0.6, begin=0, end=0.5, every=2))
"""Weights are removed after steps 2, 4, 6 and 7, so a `best.safetensors` is written from step 7 on."""
IMAGES, STEPS = 7, 14
"""Three and a half batches an epoch."""
EPOCH_ENDS = (4, 7, 11, 14)
FIRST_BEST = 7
CHECKPOINTS = tuple(sorted({0, 3, 6, 9, 12, *EPOCH_ENDS}))
"""Steps after which one is written: at the start, every third, and every validation."""

LOSSES = "losses.txt"
"""A line of step and loss for every step that was done, repeated ones too."""

STAGES = ("best", "logged", "half", "written", "synced", "renamed")
"""Where a process can die as it saves, in the order in which it gets there: just after `best.safetensors`; just after the line
in the log; the checkpoint half written, complete but not on the disk, on the disk but not yet renamed, renamed but the folder
not on the disk."""

PARTS = ("model/", "optimizer/", "average/", "data", "losses")
"""What a resumed run can be made to forget, for the test of the test."""


@dataclasses.dataclass(frozen=True)
class Kill:
    """When to die: at the first step from `step` on, or at the first such stage of saving after it."""

    step: int
    stage: str = ""


def run(folder: Path, *, recipe: Recipe = RECIPE, eager: bool = True, kill: Kill | None = None, forget: str = "") -> None:
    """Start the run in `folder`, or go on with it.

    Args:
        folder: of the run.
        recipe: of the run.
        eager: without a compiled graph, which takes long to make.
        kill: when to die.
        forget: one of `PARTS`.
    """
    make_deterministic()
    trainer = Trainer(Learner(SPEC, recipe, Blocks(IMAGES), Blocks(1, seed=9)), folder)
    assert trainer.learner.total_steps == STEPS
    for model in trainer.learner.objective.models:
        model.run_eagerly = eager
    Clock.since_saved = lambda _: math.inf if trainer.progress.step % 3 == 0 else 0
    folder.mkdir(exist_ok=True)
    losses = (folder / LOSSES).open("a")

    def on_step(report: StepReport) -> bool:
        print(report.step, report.loss.hex(), file=losses, flush=True)
        if kill and not kill.stage and report.step >= kill.step:
            _die()
        return True

    if kill and kill.stage:
        _die_at(kill.stage, folder, lambda: trainer.progress.step >= kill.step)
    if forget:
        _forget(forget, trainer)
    options = RunOptions(resume=(folder / CHECKPOINT).exists(), validate_every=1)
    trainer.run(options, on_step=on_step)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at(stage: str, folder: Path, due: Callable[[], bool]) -> None:
    """Die the first time that `stage` is reached when it is `due`."""
    sync, replace, write = os.fsync, os.replace, TrainingLog.write

    def fsync(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        temporaries = [path for path in folder.glob(".checkpoint.*") if os.path.samestat(os.fstat(descriptor), path.stat())]
        if temporaries and due() and stage in ("half", "written"):
            if stage == "half":
                os.truncate(temporaries[0], size // 2)
            _die()
        sync(descriptor)

    def rename(source: Path, target: Path) -> None:
        if due() and (stage, target.name) == ("synced", CHECKPOINT):
            _die()
        replace(source, target)
        if due() and (stage, target.name) in (("renamed", CHECKPOINT), ("best", BEST)):
            _die()

    def logged(log: TrainingLog, step: int, values: dict[str, float]) -> None:
        write(log, step, values)
        if due() and stage == "logged":
            _die()

    os.fsync, os.replace, TrainingLog.write = fsync, rename, logged


def _forget(part: str, trainer: Trainer) -> None:
    """Have `trainer` resume without one part of what was saved."""
    load, stream = room.load_checkpoint, trainer.learner.batches.stream

    def load_without(path, state, identity):
        fresh = {name: to_numpy(variable) for name, variable in state.items() if name.startswith(part)}
        progress = load(path, state, identity)
        for name, value in fresh.items():
            state[name].assign(value)
        return dataclasses.replace(progress, losses=()) if part == "losses" else progress

    room.load_checkpoint = load_without
    if part == "data":
        trainer.learner.batches.stream = lambda start, *rest: stream(0, *rest)
