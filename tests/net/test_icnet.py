import json
import os
import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from icnet.base.errors import ModelError, UsageError
from icnet.base.network import convolutions
from icnet.base.spec import COMPACT_60, DENSE
from icnet.base.weights import random_weights
from icnet.net.icnet import build
from icnet.net.layers import KerasOps
from icnet.net.weights import get_weights, set_weights


def test_dense_keras_graph_has_the_published_number_of_weights():
    model = build(DENSE)
    kernels = sum(int(np.prod(layer.kernel.shape)) for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    assert kernels == 26_675_584
    assert model.output_shape == (None, 180, 240, 12)


@pytest.mark.parametrize("spec", [DENSE, COMPACT_60], ids=lambda spec: spec.name)
def test_keras_graph_and_counter_agree_layer_by_layer(spec):
    model = build(spec, (96, 128), auxiliary=True)
    built = {layer.name: tuple(layer.kernel.shape) for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
    assert built == {conv.name: conv.kernel_shape for conv in convolutions(spec, auxiliary=True)}


@pytest.mark.parametrize("size_hw", [(96, 128), (80, 112), (32, 32), (176, 48)])
def test_any_multiple_of_sixteen_works(tiny, size_hw):
    output = build(tiny, size_hw).predict_on_batch(np.zeros((1, *size_hw, 3), np.float32))
    assert output.shape == (1, size_hw[0] // 4, size_hw[1] // 4, 12)


def test_other_sizes_are_refused_with_the_nearest_that_work(tiny):
    with pytest.raises(UsageError, match="352x640 or 368x640"):
        build(tiny, (360, 640))


def test_two_input_sizes_share_weights(tiny):
    ops = KerasOps()
    first, second = build(tiny, (64, 64), ops=ops), build(tiny, ops=ops)
    set_weights(first, random_weights(tiny, seed=3))
    np.testing.assert_array_equal(
        get_weights(second, tiny).tensors["stem2/kernel"], random_weights(tiny, seed=3).tensors["stem2/kernel"]
    )


def test_weights_round_trip_and_refuse_another_network(tiny):
    model = build(tiny, auxiliary=True)
    weights = random_weights(tiny, seed=1)
    set_weights(model, weights)
    again = get_weights(model, tiny)
    assert again.tensors.keys() == weights.tensors.keys()
    assert all(np.array_equal(again.tensors[name], weights.tensors[name]) for name in weights.tensors)
    with pytest.raises(ModelError, match="another network"):
        set_weights(model, random_weights(COMPACT_60))


_BACKEND_RUN = """
import json, sys
import keras, numpy as np
from icnet.base.weights import random_weights
from icnet.net.icnet import build
from icnet.net.losses import CASCADE, PixelCrossEntropy
from icnet.net.weights import set_weights
sys.path.insert(0, sys.argv[1])
from conftest import TINY
model = build(TINY, auxiliary=True)
set_weights(model, random_weights(TINY, seed=2))
generator = np.random.default_rng(0)
images = generator.uniform(0, 255, (2, 96, 128, 3)).astype("float32")
labels = generator.integers(0, 12, (2, 96, 128)).astype("int32")
logits = model.predict_on_batch(images)[0]
loss = [PixelCrossEntropy(np.ones(12)) for _ in CASCADE]
model.compile(keras.optimizers.SGD(1e-2), loss, loss_weights=list(CASCADE), jit_compile=False)
losses = []
for _ in range(2):
    model.reset_metrics()
    losses.append(float(model.train_on_batch(images, [labels] * 3, return_dict=True)["loss"]))
print(json.dumps({"backend": keras.backend.backend(), "losses": losses, "logits": np.asarray(logits).ravel().tolist()}))
"""


def _run_on(backend: str) -> dict:
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", _BACKEND_RUN, tests], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def on_tensorflow() -> dict:
    return _run_on("tensorflow")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backends_agree_on_logits_and_on_training_steps(backend, on_tensorflow):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    result = _run_on(backend)
    assert result["backend"] == backend
    np.testing.assert_allclose(result["logits"], on_tensorflow["logits"], atol=1e-3)
    # Only the first: one ReLU that flips on a rounding error shows after a step of so small a network.
    assert result["losses"][0] == pytest.approx(on_tensorflow["losses"][0], rel=1e-3)
    assert result["losses"][1] < result["losses"][0]


def test_a_step_on_tensorflow_lowers_the_loss(on_tensorflow):
    assert on_tensorflow["backend"] == "tensorflow"
    assert on_tensorflow["losses"][1] < on_tensorflow["losses"][0]
