"""The step that is compiled for JAX against Keras' own. One process with the JAX backend runs all of it."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from backends import ENVIRONMENT

pytestmark = pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")

SCRIPT = """
import json, warnings
import keras, numpy as np
from keras import layers
from icnet.base.classes import CAMVID
from icnet.training.losses import SegmentationLoss
from icnet.pruning.layers import MaskedConv2D
from icnet.training.average import WeightAverage
from icnet.training.steps import JaxStep, KerasStep

warnings.simplefilter("error")  # such as of memory that could not be reused
HEADS = (1.0, 0.4)

def trained(kind, **options):
    "A fresh network of two heads, always the same, with its average and its step for inputs of two sizes."
    conv = MaskedConv2D(8, 3, strides=2, padding="same", use_bias=False, name="masked")
    norm, high, low = layers.BatchNormalization(name="norm"), layers.Conv2D(12, 1), layers.Conv2D(12, 1)
    models = []
    for size_hw in ((16, 24), (32, 16)):
        data = keras.Input((*size_hw, 3))
        x = layers.ReLU()(norm(conv(layers.Rescaling(1 / 255)(data))))
        models.append(keras.Model(data, [high(x), low(layers.AveragePooling2D(2)(x))]))
    model = models[0]
    generator = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(generator.normal(0, 0.3, variable.shape))
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    optimizer.build(model.trainable_variables)
    for one in models:
        one.compile(optimizer, [SegmentationLoss(np.arange(1, 13) / 6, CAMVID) for _ in HEADS], loss_weights=list(HEADS))
    average = WeightAverage(model.trainable_variables, 0.9, every=2)
    return model, average, kind(models, average, **options)

def begin(step, number):
    generator = np.random.default_rng(number)
    shape = (2, 32, 16) if number == 4 else (2, 16, 24)
    images = generator.integers(0, 256, (*shape, 3)).astype(np.uint8)
    classes = generator.integers(0, 12, (shape[0], shape[1] // 2, shape[2] // 2))
    images, counts = step.place((images, (16 * np.eye(12)[classes]).astype(np.uint8)))
    return step.run(number, images, counts, 1e-3 * number)

def run(step, first, last):
    "Losses of steps `first` to `last`."
    told = [loss for number in range(first, last + 1) for loss in begin(step, number)] + step.drain()
    assert [number for number, _ in told] == list(range(first, last + 1))
    return [loss for _, loss in told]

def variables(model, average):
    return [*model.weights, *model.optimizer.variables, *average.values]

def state(*parts):
    return [np.array(variable.value) for variable in variables(*parts)]

result = {}

# Keras' own step.
model, average, step = trained(KerasStep)
by_keras = run(step, 1, 5)
expected = state(model, average)

# The compiled one.
model, average, step = trained(JaxStep)
traces = []
compute_loss = model.compute_loss
model.compute_loss = lambda *args, **options: traces.append(1) or compute_loss(*args, **options)
compiled = run(step, 1, 5)
step.sync()
whole = state(model, average)
result["losses"] = by_keras, compiled
result["apart"] = max(float(np.abs(a - b).max()) for a, b in zip(expected, whole))
result["counter"] = [int(model.optimizer.iterations.value), float(model.optimizer.learning_rate.value)]

# Changed between `sync` and `run`: a mask.
layer, norm = model.get_layer("masked"), model.get_layer("norm")
mask = np.ones(layer.kernel_mask.shape, np.uint8)
mask[..., 2:] = 0
layer.kernel_mask.assign(mask)
before = np.array(norm.moving_mean.value)
run(step, 6, 20)
step.sync()
result["masked"] = np.array(layer.kernel_mask.value).tolist() == mask.tolist()
result["faded"] = (np.array(norm.moving_mean.value) / before).tolist()
result["traces"] = len(traces)

# The same five steps in two parts, waiting for each, the second part in another network.
model, average, step = trained(JaxStep, lag=0)
parts = run(step, 1, 2)
start = state(model, average)  # behind, but readable
step.sync()
saved = state(model, average)
result["behind"] = not all(map(np.array_equal, start, saved))
other_model, other_average, other = trained(JaxStep)
for variable, value in zip(variables(other_model, other_average), saved):
    variable.assign(value)
parts += run(other, 3, 5)
other.sync()
result["parts"] = parts
result["same"] = all(map(np.array_equal, whole, state(other_model, other_average)))

# When losses are told.
model, average, step = trained(JaxStep, lag=2)
result["told"] = [[number for number, _ in begin(step, number)] for number in (1, 2, 3, 4)]
result["left"] = [number for number, _ in step.drain()], step.drain()

print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> dict:
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("jax"))}  # the same step is compiled for several networks
    environment = {**os.environ, **ENVIRONMENT, **cache, "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_takes_the_steps_of_train_on_batch(result):
    by_keras, compiled = result["losses"]
    np.testing.assert_allclose(compiled, by_keras, rtol=1e-6)
    assert len(set(compiled)) == 5
    assert result["apart"] < 1e-5  # weights, statistics, moments, average
    assert result["counter"] == [5, pytest.approx(5e-3)]


def test_stopped_and_resumed_in_another_network_it_is_the_same_to_the_bit(result):
    assert result["parts"] == result["losses"][1]
    assert result["same"]


def test_variables_are_behind_until_sync(result):
    assert result["behind"]


def test_losses_come_late_and_in_order(result):
    assert result["told"] == [[], [], [1], [2]]
    assert result["left"] == [[3, 4], []]


def test_a_mask_set_between_sync_and_run_holds(result):
    assert result["masked"]
    faded = np.array(result["faded"])  # the statistics of a channel that is zero fade by 0.99 a step
    np.testing.assert_allclose(faded[2:], 0.99**15, rtol=1e-4)
    assert (np.abs(faded[:2] - 0.99**15) > 1e-3).all()


def test_it_is_compiled_once_for_a_size(result):
    assert result["traces"] == 1
