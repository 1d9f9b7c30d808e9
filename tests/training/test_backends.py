"""The same network and the same run on every backend that is installed, each in a process of its own."""

from importlib.util import find_spec

import numpy as np
import pytest
from backends import run_on

RUN = """
import dataclasses, json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import keras, numpy as np
from tiny_network import TINY, Blocks
from icnet.base.errors import TrainingError, UsageError
from icnet.network.weights import random_weights
from icnet.network.keras_model import build
from icnet.network.keras_weights import set_weights
from icnet.training.recipe import Recipe
from icnet.training.learner import Learner
from icnet.training.trainer import RunOptions, Trainer

weights, folder = random_weights(TINY, seed=2), Path(sys.argv[2])
model = build(TINY)
set_weights(model, weights)
logits = model.predict_on_batch(np.random.default_rng(0).uniform(0, 255, (2, 96, 128, 3)).astype("float32"))

recipe = Recipe(epochs=4, batch_size=2, crop_hw=(64, 96), warmup_steps=1)
losses = []

def trainer(recipe=recipe):
    return Trainer(Learner(TINY, recipe, Blocks(4), Blocks(1, seed=9), initial=weights), folder)

# Stops early, validates, saves; a second trainer goes on from there, where it can in the other precision.
half = keras.backend.backend() != "torch"
stopped = trainer().run(RunOptions(validate_every=1), on_step=lambda report: losses.append(report.loss) or report.step < 3)
second = trainer(recipe=dataclasses.replace(recipe, precision="bfloat16") if half else recipe)
progress = second.run(RunOptions(resume=True), on_step=lambda report: losses.append(report.loss) or True)

result = {
    "backend": keras.backend.backend(), "losses": losses, "stopped": stopped.step, "step": progress.step,
    "miou": progress.best_miou, "logits": np.asarray(logits).ravel().tolist(),
}
if half:
    variables = second.learner.state().values()
    result["types"] = sorted({keras.backend.standardize_dtype(variable.dtype) for variable in variables} - {"int32", "int64"})
    layers = [layer for layer in second.learner.model.layers if layer.weights]
    result["layers"] = {layer.name: layer.compute_dtype for layer in layers}
    result["outputs"] = sorted({output.dtype for output in second.learner.model.outputs})
    result["policy"] = keras.config.dtype_policy().name

    second.learner.sync()
    kernel = second.learner.model.get_layer("stem1").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    try:
        second.train_step(*second.learner.batches.batch(8))
        second.learner.drain()
    except TrainingError as error:
        result["error"] = str(error)
try:
    Learner(TINY, dataclasses.replace(recipe, batch_size=1), Blocks(4), Blocks(1))
except UsageError as error:
    result["one"] = str(error)
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory) -> dict:
    return run_on("tensorflow", RUN, tmp_path_factory.mktemp("tensorflow"))


def test_a_run_on_tensorflow(on_tensorflow):
    _check_run(on_tensorflow)
    _check_half(on_tensorflow)
    assert "use two or more" in on_tensorflow["one"]  # it would crash


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_agree_with_tensorflow(backend, on_tensorflow, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    result = run_on(backend, RUN, tmp_path)
    _check_run(result)
    assert "one" not in result
    np.testing.assert_allclose(result["logits"], on_tensorflow["logits"], atol=1e-3)
    # Only the first: one ReLU that flips on a rounding error shows after a step of so small a network.
    assert result["losses"][0] == pytest.approx(on_tensorflow["losses"][0], rel=1e-3)
    if backend == "jax":
        _check_half(result)


def _check_run(result: dict) -> None:
    assert 3 <= result["stopped"] < result["step"] == len(result["losses"]) == 8
    assert min(result["losses"][1:]) < result["losses"][0]
    assert 0 <= result["miou"] <= 1


def _check_half(result: dict) -> None:
    """In bfloat16 the layers compute in it; what is learnt, the logits and everybody else's layers stay float32."""
    assert result["types"] == ["float32"]
    assert {name for name, kind in result["layers"].items() if kind == "float32"} == {
        "classifier",
        "auxiliary_eighth",
        "auxiliary_sixteenth",
    }
    assert result["outputs"] == ["float32"]
    assert result["policy"] == "float32"
    assert "loss became nan at step 9" in result["error"]
