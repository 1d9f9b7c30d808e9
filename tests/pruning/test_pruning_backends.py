"""The same pruning on every backend that is installed, each in a process of its own."""

from importlib.util import find_spec

import numpy as np
import pytest
from backends import run_on

RUN = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import keras, numpy as np
from icnet.pruning import *
from icnet.pruning.masks import to_numpy
from small_models import NETS, outputs, pictures, randomise, residual

result = {"backend": keras.backend.backend()}
data, target = pictures(8), np.random.default_rng(3).normal(size=(8, 4)).astype("float32")

class Losses(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()  # the loss of a batch, not the mean so far
    def on_train_batch_end(self, batch, logs=None):
        losses.append(float(logs["loss"]))

def fit(model, rate, epochs, *callbacks):
    global losses
    losses = []
    model.compile(optimizer=keras.optimizers.SGD(rate), loss="mse")
    model.fit(data, target, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=[Losses(), *callbacks])
    return losses

def start(ratio=0.0):
    model = maskable(randomise(residual()))
    WeightPruner(model).prune(ratio)
    return model

# Nothing is learned, so every change of the loss comes from a mask that the callback changed: does it reach the step?
model = start()
callback = PruningCallback(WeightPruner(model), PruningSchedule(0.8, begin_step=1, end_step=3, every=1, initial=0.3))
result["losses"] = fit(model, 0.0, 5, callback)
result["expected"] = [fit(start(callback.schedule.ratio_at(step)), 0.0, 1)[0] for step in (1, 3)]

if keras.backend.backend() == "tensorflow":  # several steps at a time: the callback is called late and catches up
    model, asked = maskable(residual()), []
    pruner = WeightPruner(model)
    pruner.prune = lambda ratio: asked.append((int(model.optimizer.iterations), round(ratio, 4))) or 0
    schedule = PruningSchedule(0.5, begin_step=2, end_step=10, every=4, initial=0.1)
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse", steps_per_execution=2)
    options = {"batch_size": 1, "shuffle": False, "verbose": 0, "callbacks": [PruningCallback(pruner, schedule)]}
    model.fit(data[:4], target[:4], epochs=2, **options)  # ends at step 8
    model.fit(data[:2], target[:2], epochs=1, **options)
    result["asked"] = asked
    result["due"] = [(step, round(schedule.ratio_at(due), 4)) for step, due in ((2, 2), (6, 6), (8, 6), (10, 10))]

# What is stored at masked places has no influence.
model, other = start(0.5), start(0.5)
for layer in WeightPruner(other).layers:
    layer.stored_kernel.assign(np.where(to_numpy(layer.kernel_mask), to_numpy(layer.stored_kernel), 1e3))
result["plain"], result["disturbed"] = fit(model, 0.05, 3), fit(other, 0.05, 3)

# Gradual pruning with learning.
model = start()
pruner = WeightPruner(model)
fit(model, 0.05, 6, PruningCallback(pruner, PruningSchedule(0.7, begin_step=0, end_step=6, every=2)))
result["total"] = pruner.total
result["zeros"] = sum(int((to_numpy(layer.kernel) == 0).sum()) for layer in pruner.layers)
result["masked"] = sum(int((to_numpy(layer.kernel_mask) == 0).sum()) for layer in pruner.layers)
predicted = model.predict(pictures(), verbose=0)
result["stripped"] = float(np.abs(predicted - strip(model).predict(pictures(), verbose=0)).max())
model.save(Path(sys.argv[2]) / "model.keras")
loaded = keras.saving.load_model(Path(sys.argv[2]) / "model.keras")
result["loaded"] = float(np.abs(predicted - loaded.predict(pictures(), verbose=0)).max())

result["widths"], result["outputs"], result["compact"], result["expand"] = [], [], [], []
for net in NETS[:1]:
    model = maskable(randomise(net()))
    pruner = ChannelPruner(model, multiple_of=1, minimum=2)
    pruner.prune(0.25)
    narrow, kept = compact(model)
    result["widths"].append(pruner.widths)
    result["outputs"] += outputs(model).ravel().tolist()
    result["compact"].append(float(np.abs(outputs(narrow) - outputs(model)).max()))
    result["expand"].append(float(np.abs(outputs(expand(narrow, net(), kept=kept)) - outputs(narrow)).max()))
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory) -> dict:
    return run_on("tensorflow", RUN, tmp_path_factory.mktemp("tensorflow"))


def test_pruning_on_tensorflow(on_tensorflow):
    _check(on_tensorflow)
    assert on_tensorflow["asked"] == on_tensorflow["due"]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_prune_alike(backend, on_tensorflow, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    result = run_on(backend, RUN, tmp_path)
    _check(result)
    assert result["widths"] == on_tensorflow["widths"]
    np.testing.assert_allclose(result["outputs"], on_tensorflow["outputs"], atol=1e-4)
    np.testing.assert_allclose(result["losses"], on_tensorflow["losses"], rtol=1e-4)


def _check(result: dict) -> None:
    losses = result["losses"]
    np.testing.assert_allclose([losses[1], losses[3]], result["expected"], rtol=1e-5)
    assert len(set(losses)) == 4
    assert losses[3] == losses[4]
    assert result["disturbed"] == result["plain"]
    assert result["plain"][2] != result["plain"][0]
    assert result["zeros"] == result["masked"] == round(0.7 * result["total"])
    for name in ("stripped", "loaded"):
        assert result[name] < 1e-5
    assert max(result["compact"] + result["expand"]) < 1e-5
