import dataclasses

import keras
import numpy as np
import pytest
from tiny_network import TINY, TINY_LITE

from icnet.base.errors import ModelError, UsageError
from icnet.network.graph import convolutions
from icnet.network.keras_layers import KerasOps
from icnet.network.keras_model import build
from icnet.network.keras_weights import get_weights, set_weights
from icnet.network.spec import COMPACT_60, DENSE
from icnet.network.weights import random_weights


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
    with pytest.raises(ModelError, match="do not belong together"):
        set_weights(model, random_weights(COMPACT_60))
    with pytest.raises(ModelError, match="another network"):
        set_weights(model, random_weights(dataclasses.replace(tiny, fusion=8)))


@pytest.mark.parametrize("masks", [None, "channel"])
@pytest.mark.parametrize("spec", [TINY, TINY_LITE], ids=lambda spec: spec.name)
def test_a_saved_network_is_loaded_without_custom_objects(tmp_path, spec, masks):
    data = np.random.default_rng(0).integers(0, 256, (2, *spec.size_hw, 3)).astype(np.float32)
    model = build(spec, ops=KerasOps(masks=masks), auxiliary=True)
    expected = model.predict_on_batch(data)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    for one, other in zip(expected, loaded.predict_on_batch(data), strict=True):
        np.testing.assert_array_equal(one, other)
    configs = [[layer.get_config() for layer in network.layers] for network in (model, loaded)]
    assert configs[0] == configs[1], "layers of training, such as stochastic depth, keep their arguments"
