import zipfile

import keras
import numpy as np
import pytest
from keras import layers
from small_models import NETS, outputs, randomise, residual, shared

from icnet.base.errors import UsageError
from icnet.pruning import MaskedBatchNormalization, MaskedConv2D, maskable, strip
from icnet.pruning.masks import to_numpy


@pytest.mark.parametrize("net", NETS)
def test_there_and_back_changes_nothing(net):
    model = randomise(net())
    masked = maskable(model)
    back = strip(masked)
    names = [layer.name for layer in model.layers]
    assert [layer.name for layer in masked.layers] == [layer.name for layer in back.layers] == names
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in model.layers]
    assert not any(type(layer) in (layers.Conv2D, layers.BatchNormalization) for layer in masked.layers)
    np.testing.assert_array_equal(outputs(masked), outputs(model))
    for mine, theirs in zip(model.weights, back.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(mine), to_numpy(theirs))


@pytest.mark.parametrize("net", NETS)
def test_strip_writes_the_zeros(net):
    masked, generator = maskable(randomise(net())), np.random.default_rng(3)
    for variable in masked.weights:
        if "mask" in variable.name:
            variable.assign(generator.integers(0, 2, variable.shape))
    plain = strip(masked)
    np.testing.assert_allclose(outputs(plain), outputs(masked), atol=1e-5)
    for layer in masked.layers:
        if isinstance(layer, MaskedConv2D):
            mask = to_numpy(layer.kernel_mask)
            np.testing.assert_array_equal(to_numpy(plain.get_layer(layer.name).kernel) != 0, mask == 1)
        if isinstance(layer, MaskedBatchNormalization):
            mask = to_numpy(layer.channel_mask)
            np.testing.assert_array_equal(to_numpy(plain.get_layer(layer.name).gamma) != 0, mask == 1)


def test_a_stripped_model_loads_without_this_package(tmp_path):
    masked = maskable(randomise(residual()))
    named = []
    for model, name in ((masked, "masked"), (strip(masked), "stripped")):
        model.save(tmp_path / f"{name}.keras")
        with zipfile.ZipFile(tmp_path / f"{name}.keras") as archive:
            named.append(b"icnet" in archive.read("config.json"))  # the module of each class, from which Keras loads it
    assert named == [True, False]
    np.testing.assert_allclose(outputs(keras.saving.load_model(tmp_path / "stripped.keras")), outputs(model), atol=1e-6)


def test_a_shared_layer_stays_one_layer():
    masked = maskable(shared())
    assert len(masked.get_layer("both")._inbound_nodes) == 2
    assert sum(layer.name.startswith("both") for layer in masked.layers) == 2


def test_the_copy_is_independent_and_compiled_alike():
    model = randomise(residual())
    model.compile(optimizer="sgd", loss="mse")
    before = outputs(model)
    masked = maskable(model)
    masked.get_layer("stem").stored_kernel.assign(np.zeros((3, 3, 3, 16)))
    np.testing.assert_array_equal(outputs(model), before)
    assert masked.compiled


class Inner(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def test_what_cannot_be_masked_is_refused_in_one_line():
    data = keras.Input((8, 8, 3))
    nested = keras.Model(data, keras.Sequential([layers.Conv2D(4, 3)], name="inner")(data), name="outer")
    with pytest.raises(UsageError, match="outer holds the model inner as a layer"):
        maskable(nested)
    sequential = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)], name="chain")
    with pytest.raises(UsageError, match=r"chain is a Sequential.*keras.Model\(model.inputs, model.outputs\)"):
        maskable(sequential)
    maskable(keras.Model(sequential.inputs, sequential.outputs))
    with pytest.raises(UsageError, match="Inner to have get_config"):
        maskable(keras.Model(data, Inner(lambda x: x)(data)))
    adapted = residual()
    adapted.get_layer("a1").enable_lora(2)
    with pytest.raises(UsageError, match="a1 has LoRA"):
        maskable(adapted)
