import numpy as np
import pytest

from icnet.base.errors import ModelError
from icnet.network.keras_layers import KerasOps
from icnet.network.keras_model import build
from icnet.network.keras_weights import as_stored, digest, get_weights, set_weights
from icnet.network.weights import random_weights


@pytest.fixture
def sparse(tiny):
    weights, generator = random_weights(tiny, seed=1), np.random.default_rng(0)
    for name, tensor in weights.tensors.items():
        if name.endswith("kernel"):
            tensor[generator.uniform(size=tensor.shape) < 0.5] = 0
    return weights


def test_masked_layers_take_and_give_the_same_weights(tiny, sparse):
    model = build(tiny, auxiliary=True, ops=KerasOps(masks="weight"))
    set_weights(model, sparse)
    assert (np.asarray(model.get_layer("stem2").kernel_mask) == 1).all()
    again = get_weights(model, tiny)
    assert again.tensors.keys() == sparse.tensors.keys()
    assert all(np.array_equal(again.tensors[name], sparse.tensors[name]) for name in sparse.tensors)


def test_what_is_masked_is_zero_whatever_the_variable_holds(tiny, sparse):
    model = build(tiny, ops=KerasOps(masks="weight"))
    set_weights(model, sparse)
    layer = model.get_layer("stem2")
    layer.kernel_mask.assign((sparse.tensors["stem2/kernel"] != 0).astype(np.uint8))
    layer.stored_kernel.assign(np.full(layer.stored_kernel.shape, -3.0))  # as an optimizer may do
    np.testing.assert_array_equal(get_weights(model, tiny).tensors["stem2/kernel"] == 0, sparse.tensors["stem2/kernel"] == 0)


def test_a_removed_channel_has_no_kernel_scale_or_shift(tiny):
    model = build(tiny, ops=KerasOps(masks="channel"))
    set_weights(model, random_weights(tiny, seed=1))
    norm = model.get_layer("stem2_norm")
    norm.beta.assign(np.ones(8))
    norm.channel_mask.assign([1, 0, 1, 1, 1, 1, 1, 1])
    tensors = get_weights(model, tiny).tensors
    for part in ("gamma", "beta"):
        assert tensors[f"stem2/{part}"].tolist() == [1, 0, 1, 1, 1, 1, 1, 1]


def test_as_stored_rounds_kernels_and_keeps_what_is_not_zero(tiny):
    weights = random_weights(tiny)
    weights.tensors["stem1/kernel"][0, 0, 0, :3] = (1 / 3, 1e-12, 0)
    weights.tensors["stem1/beta"][0] = 1 / 3
    stored = as_stored(weights).tensors
    assert stored["stem1/kernel"][0, 0, 0, :3].tolist() == [float(np.float16(1 / 3)), 2**-24, 0]
    assert stored["stem1/beta"][0] == np.float32(1 / 3)
    weights.tensors["stem1/kernel"][0, 0, 0, 0] = 1e6
    with pytest.raises(ModelError, match="stem1/kernel"):
        as_stored(weights)


def test_digest_tells_networks_apart(tiny):
    assert digest(random_weights(tiny, seed=1)) == digest(random_weights(tiny, seed=1))
    changed = random_weights(tiny, seed=1)
    changed.tensors["classifier/bias"][3] += 1e-3
    assert digest(changed) != digest(random_weights(tiny, seed=1))
