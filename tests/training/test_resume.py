"""A run that is killed with SIGKILL, over and over, ends with the bits of the one that is not."""

import csv
import json
import multiprocessing
import random
import shutil
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import resumable
from resumable import CHECKPOINTS, DENSE, EPOCH_ENDS, FIRST_BEST, LOSSES, PARTS, STAGES, STEPS, Kill
from safetensors import safe_open
from tiny_network import Blocks

from icnet.base.errors import UsageError
from icnet.base.files import sole_writer
from icnet.network.stored import MARK
from icnet.training.learner import Learner
from icnet.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")

# A new process for every part of a run; Keras is imported once, by the server that they are forked from.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["icnet.training.trainer", "tensorboard.summary.writer.event_file_writer"])


def part(folder: Path, **options) -> int:
    """Exit code of one process that starts or resumes the run in `folder`."""
    process = PROCESSES.Process(target=resumable.run, args=(folder,), kwargs=options)
    process.start()
    process.join()
    return process.exitcode


def chain(folder: Path, kills: list[Kill], **options) -> Path:
    """A run that dies at each of `kills` in turn and then goes on to its end."""
    for kill in kills:
        assert part(folder, kill=kill, **options) == -signal.SIGKILL, kill
    assert part(folder, **options) == 0
    return folder


def draw_kills(seed: int) -> tuple[list[Kill], list[Kill]]:
    """Two lists in the order in which they can happen: together eight random steps, and every stage after a random one."""
    draw = random.Random(seed)
    stages = [Kill(draw.choice(CHECKPOINTS), stage) for stage in STAGES if stage not in ("best", "logged")]
    stages += [Kill(FIRST_BEST, "best")]  # later ones may not be better
    stages += [Kill(draw.choice(EPOCH_ENDS[:-1]), "logged"), Kill(STEPS, "logged")]
    steps = [Kill(step) for step in draw.sample(range(1, STEPS + 1), 8)]

    def in_order(kills: list[Kill]) -> list[Kill]:
        return sorted(kills, key=lambda kill: (kill.step, ("", *STAGES).index(kill.stage)))

    return in_order(steps[::2] + stages[::2]), in_order(steps[1::2] + stages[1::2])


def tensors(path: Path) -> tuple[dict, dict]:
    """A safetensors file's tensors as (type, shape, bytes), and its metadata without times."""
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
        header = {key: json.loads(value) for key, value in file.metadata().items()}
    header.get("progress", {}).pop("seconds", None)
    header.get("icnet", {}).get("about", {}).pop("minutes", None)
    header.get("icnet", {}).pop(MARK, None)  # which covers the time
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}, header


def differences(one: Path, other: Path) -> set[str]:
    """What two runs disagree on: losses, log, or a file's tensors and facts."""
    found = set()
    done = [[line.split() for line in (folder / LOSSES).read_text().splitlines()] for folder in (one, other)]
    if any(sorted({int(step) for step, _ in steps}) != [*range(1, STEPS + 1)] for steps in done):
        found.add("steps")
    if {tuple(line) for line in done[0]} != {tuple(line) for line in done[1]}:  # a step done twice must agree too
        found.add("losses")
    for name in ("checkpoint", "best", "last"):
        if tensors(one / f"{name}.safetensors") != tensors(other / f"{name}.safetensors"):
            found.add(name)
    if table(one) != table(other):
        found.add("log")
    return found


def table(folder: Path) -> list[dict[str, str]]:
    """The log without its times."""
    with (folder / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: text for name, text in row.items() if name not in ("minutes", "images_per_second")} for row in rows]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    return chain(tmp_path_factory.mktemp("uninterrupted") / "run", [])


def test_killed_at_random_steps_and_at_every_stage_of_saving(uninterrupted, tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    lists = draw_kills(seed)
    print(f"seed {seed}: {lists}")
    with ThreadPoolExecutor() as pool:
        folders = list(pool.map(chain, (tmp_path / "one", tmp_path / "two"), lists))
    for folder in folders:
        assert differences(folder, uninterrupted) == set()
        assert not list(folder.glob(".*.part*")), "what dead processes left is gone"
        repeats = Counter(line.split()[0] for line in (folder / LOSSES).read_text().splitlines())
        assert max(repeats.values()) > 1, "some steps were done again"


def test_a_compiled_run_too(tmp_path):
    step = random.SystemRandom().randrange(2, STEPS)
    print(f"killed at step {step}")
    with ThreadPoolExecutor() as pool:
        whole = pool.submit(chain, tmp_path / "whole", [], recipe=DENSE, eager=False)
        killed = pool.submit(chain, tmp_path / "killed", [Kill(step)], recipe=DENSE, eager=False)
    assert differences(whole.result(), killed.result()) == set()


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory) -> dict[str, Path]:
    """What was forgotten to a run that died after step 13 and went on from step 12 without that."""
    folder = tmp_path_factory.mktemp("forgetful")
    assert part(folder / "killed", kill=Kill(STEPS - 1)) == -signal.SIGKILL

    def resume(forget: str) -> Path:
        copy = folder / forget.strip("/")
        shutil.copytree(folder / "killed", copy)
        assert part(copy, forget=forget) == 0
        return copy

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(PARTS, pool.map(resume, PARTS), strict=True))


@pytest.mark.parametrize(
    ("forget", "seen_in"),
    [
        ("model/", {"losses", "checkpoint", "last", "log"}),
        ("optimizer/", {"losses", "checkpoint", "last", "log"}),
        ("average/", {"checkpoint", "last"}),
        ("data", {"losses", "checkpoint", "last", "log"}),
        ("losses", {"log"}),
    ],
)
def test_the_comparison_sees_what_is_forgotten(forget, seen_in, forgetful, uninterrupted):
    assert differences(forgetful[forget], uninterrupted) >= seen_in


def test_every_stage_and_eight_steps_are_drawn():
    for seed in range(100):
        kills = [kill for kills in draw_kills(seed) for kill in kills]
        assert {kill.stage for kill in kills} == {"", *STAGES}
        assert len({kill.step for kill in kills if not kill.stage}) == 8


def test_two_runs_in_one_folder_at_once_are_refused(tmp_path):
    trainer = Trainer(Learner(resumable.SPEC, resumable.RECIPE, Blocks(2), Blocks(1)), tmp_path)
    with sole_writer(tmp_path, ()), pytest.raises(UsageError, match="another process is at work"):
        trainer.run()
    assert list(tmp_path.iterdir()) == []
