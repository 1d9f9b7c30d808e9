import keras
import numpy as np
import pytest
from small_models import outputs, randomise, residual

from icnet.pruning import MaskedBatchNormalization, MaskedConv2D, WeightPruner, maskable
from icnet.pruning.masks import to_numpy

OPTIONS = [
    {"strides": 2},
    {"dilation_rate": 2, "padding": "same"},
    {"groups": 2, "use_bias": False},
    {"activation": "relu", "padding": "valid"},
]


def some(shape, seed):
    return np.random.default_rng(seed).integers(0, 2, shape).astype(np.uint8)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_masked_convolution_computes_with_zeros(options):
    data = np.random.default_rng(0).normal(size=(2, 9, 9, 4)).astype(np.float32)
    plain, masked = keras.layers.Conv2D(6, 3, **options), MaskedConv2D(6, 3, **options)
    plain(data), masked(data)
    kernel = np.random.default_rng(1).normal(size=plain.kernel.shape)
    masked.stored_kernel.assign(kernel)
    masked.kernel_mask.assign(some(kernel.shape, 2))
    plain.kernel.assign(kernel * some(kernel.shape, 2))
    if masked.use_bias:
        masked.stored_bias.assign(np.arange(1, 7))
        masked.bias_mask.assign(some(6, 3))
        plain.bias.assign(np.arange(1, 7) * some(6, 3))
    np.testing.assert_array_equal(to_numpy(masked(data)), to_numpy(plain(data)))


@pytest.mark.parametrize("axis", [-1, 1])
def test_masked_normalisation_is_zero_where_masked(axis):
    data = np.random.default_rng(0).normal(size=(2, 5, 5, 5)).astype(np.float32)
    norm = MaskedBatchNormalization(axis=axis, beta_initializer="ones")
    norm(data)
    norm.channel_mask.assign([1, 0, 1, 1, 0])
    for training in (False, True):
        values = np.moveaxis(to_numpy(norm(data, training=training)), axis, -1)
        assert not values[..., [1, 4]].any()
        assert values[..., [0, 2, 3]].all()


def test_masks_receive_no_gradient_and_let_none_through():
    model = maskable(randomise(residual()))
    WeightPruner(model).prune(0.5)
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    layer = model.get_layer("a1")
    before, mask = to_numpy(layer.stored_kernel).copy(), to_numpy(layer.kernel_mask).copy()
    model.train_on_batch(np.ones((2, 16, 16, 3), np.float32), np.ones((2, 4), np.float32))
    changed = to_numpy(layer.stored_kernel).copy() != before
    assert not changed[mask == 0].any()
    assert changed[mask == 1].any()
    np.testing.assert_array_equal(layer.kernel_mask, mask)


def test_masks_survive_saving_and_loading(tmp_path):
    model = maskable(randomise(residual()))
    WeightPruner(model).prune(0.5)
    model.get_layer("b1").bias_mask.assign(some(12, 0))
    model.get_layer("a1_norm").channel_mask.assign(some(12, 1))
    expected = outputs(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.get_layer("a1")) is MaskedConv2D
    np.testing.assert_array_equal(outputs(loaded), expected)
    for mine, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(mine), to_numpy(theirs))


def test_bfloat16_layers_keep_float32_weights():
    conv, norm = MaskedConv2D(4, 3, dtype="mixed_bfloat16"), MaskedBatchNormalization(dtype="mixed_bfloat16")
    values = norm(conv(np.ones((1, 5, 5, 2), np.float32)))
    assert keras.backend.standardize_dtype(values.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(conv.kernel.dtype) == "float32"


def test_lora_is_refused():
    conv = MaskedConv2D(4, 3)
    conv.build((None, 5, 5, 2))
    with pytest.raises(NotImplementedError, match="strip"):
        conv.enable_lora(2)
