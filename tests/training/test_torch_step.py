"""The step in plain PyTorch against Keras' own. One process with the torch backend runs all of it."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")

SCRIPT = """
import dataclasses, json, sys
sys.path.insert(0, sys.argv[1])
import keras, numpy as np
from icnet.network.weights import random_weights
from icnet.network.keras_weights import get_weights, set_weights
from icnet.training.average import WeightAverage
from icnet.training.objective import objective
from icnet.training.recipe import Distillation, Pruning, Recipe
from icnet.training.steps import KerasStep
from icnet.training.torch_step import TorchStep
from tiny_network import TINY, TINY_LITE

CROPS = [(64, 96), (96, 64)]
RECIPE = Recipe(trunk_rate=0.25, clip_norm=0.5, void="class", weight_decay=0.5, ema_momentum=0.5, loss="ohem")
# Stochastic depth draws other numbers in the two, so the comparison leaves it out: no block of this trunk is residual.
PLAIN = dataclasses.replace(TINY_LITE, trunk=tuple((*block[:3], 8 + index) for index, block in enumerate(TINY_LITE.trunk)))

def trained(kind, spec, recipe=RECIPE, teacher=None):
    made = objective(spec, recipe, CROPS, np.arange(1, 13), teacher=teacher)
    set_weights(made.network, random_weights(spec, seed=1))
    average = WeightAverage(made.models[0].trainable_variables, recipe.ema_momentum, every=2)
    return made, average, kind(made, average) if kind is TorchStep else kind(made.models, average)

def run(step, first, last):
    losses = []
    for number in range(first, last + 1):
        generator = np.random.default_rng(number)
        height, width = CROPS[number % 2]
        images = generator.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
        counts = (16 * np.eye(12)[generator.integers(0, 12, (2, height // 4, width // 4))]).astype(np.uint8)
        losses += [loss for _, loss in step.run(number, images, counts, 1e-3 * number)]
    return losses

def state(made, average):
    return [np.array(keras.ops.convert_to_numpy(value)) for value in
            (*made.network.weights, *made.optimizer.variables, *average.values)]

result = {}
pruned = dataclasses.replace(RECIPE, pruning=Pruning(0.6))
taught = dataclasses.replace(RECIPE, distillation=Distillation(weight=2.0))
for name, spec, recipe, teacher in (
    ("lite", PLAIN, RECIPE, None),
    ("masked", TINY, pruned, None),
    ("taught", PLAIN, taught, random_weights(TINY, seed=7)),
):
    found = {}
    for kind in (KerasStep, TorchStep):
        made, average, step = trained(kind, spec, recipe, teacher)
        before = state(made, average)
        if recipe.pruning:
            mask = made.network.get_layer("stem2").kernel_mask
            mask.assign(np.arange(mask.shape[-1]) % 2 * np.ones(mask.shape))
        found[kind.__name__] = losses = run(step, 1, 4), None
        step.sync()
        found[kind.__name__] = losses[0], state(made, average), get_weights(made.network, spec).tensors
    by_keras, by_torch = found["KerasStep"], found["TorchStep"]
    # Keras keeps the biased variance of a batch and PyTorch the unbiased one: nothing that training uses.
    # Adam moves a weight by about the learning rate however small its gradient is, so a few go astray by rounding errors.
    kept = [not variable.path.endswith("moving_variance") for variable in made.network.weights]
    kept += [True] * (len(before) - len(kept))
    def flat(values):
        return np.concatenate([value.ravel().astype(np.float64) for value, keep in zip(values, kept) if keep])
    apart = np.abs(flat(by_keras[1]) - flat(by_torch[1]))
    moved = np.abs(flat(before) - flat(by_torch[1]))
    result[name] = {
        "losses": [by_keras[0], by_torch[0]], "apart": [float(np.percentile(apart, share)) for share in (50, 98)],
        "moved": float(np.median(moved[moved > 0])),
        "zeros": int((by_torch[2].get("stem2/kernel", np.ones(1)) == 0).sum()),
    }

# With stochastic depth: four steps at once, and two and two with everything handed over between.
made, average, step = trained(TorchStep, TINY_LITE)
at_once = run(step, 1, 4)
step.sync()
whole = state(made, average)
made, average, step = trained(TorchStep, TINY_LITE)
parts = run(step, 1, 2)
step.sync()
saved = state(made, average)
made, average, step = trained(TorchStep, TINY_LITE)
for variable, value in zip((*made.network.weights, *made.optimizer.variables, *average.values), saved):
    variable.assign(value)
parts += run(step, 3, 4)
step.sync()
result["same"] = at_once == parts and all(map(np.array_equal, whole, state(made, average)))
half = dataclasses.replace(RECIPE, precision="bfloat16")
made, average, step = trained(TorchStep, TINY_LITE, half)
result["half"] = [at_once, run(step, 1, 4)]
step.sync()
result["kinds"] = sorted({value.dtype.name for value in get_weights(made.network, TINY_LITE).tensors.values()})
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def result() -> dict:
    environment = {**os.environ, "KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).resolve().parents[1] / "support")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", ["lite", "masked", "taught"])
def test_it_takes_the_steps_of_keras(result, case):
    by_keras, by_torch = result[case]["losses"]
    np.testing.assert_allclose(by_torch, by_keras, rtol=1e-3)
    assert len(set(by_torch)) == 4
    middle, most = result[case]["apart"]
    assert middle < 0.3 * result[case]["moved"]
    assert most < (5e-4 if case == "lite" else 3e-3)


def test_what_a_mask_removes_stays_removed(result):
    assert result["masked"]["zeros"] >= 3 * 3 * 8 * 4


def test_handed_over_between_steps_it_is_the_same_to_the_bit(result):
    assert result["same"]


def test_in_bfloat16_it_takes_nearly_the_same_steps_of_float32_weights(result):
    whole, half = result["half"]
    np.testing.assert_allclose(half, whole, rtol=0.05)
    assert half != whole
    assert result["kinds"] == ["float32"]
