import keras
import numpy as np
import pytest
from keras import layers
from small_models import NETS, outputs, pictures, randomise, residual

from icnet.base.errors import UsageError
from icnet.pruning import ChannelPruner, WeightPruner, compact, expand, maskable, strip
from icnet.pruning.masks import to_numpy


def pruned(net, ratio=0.25, **options):
    model = maskable(randomise(net()))
    ChannelPruner(model, **{"multiple_of": 1, "minimum": 2, **options}).prune(ratio)
    return model


def assert_same_weights(first, second):
    for mine, theirs in zip(first.weights, second.weights, strict=True):
        assert mine.name == theirs.name
        np.testing.assert_array_equal(to_numpy(mine), to_numpy(theirs))


@pytest.mark.parametrize("net", NETS)
def test_compact_and_expand_compute_what_the_masked_network_does(net):
    model = pruned(net)
    narrow, kept = compact(model)
    assert np.abs(outputs(model) - outputs(randomise(net()))).max() > 1e-2
    np.testing.assert_allclose(outputs(narrow), outputs(model), atol=1e-5)
    assert narrow.count_params() < 0.9 * net().count_params()
    assert {type(layer) for layer in narrow.layers} == {type(layer) for layer in net().layers}
    for name, indices in kept.items():
        assert narrow.get_layer(name).filters == len(indices)

    for where in (kept, None):
        wide = expand(narrow, randomise(net(), seed=9), kept=where)
        assert [tuple(v.shape) for v in wide.weights] == [tuple(v.shape) for v in net().weights]
        np.testing.assert_allclose(outputs(wide), outputs(narrow), atol=1e-5)
        assert_same_weights(compact(wide)[0], narrow)
        assert_same_weights(compact(maskable(wide))[0], narrow)


def test_expand_restores_the_stripped_network_but_for_statistics():
    model = pruned(residual)
    narrow, kept = compact(model)
    wide, expected = expand(narrow, residual(), kept=kept), strip(model)
    for mine, theirs in zip(wide.weights, expected.weights, strict=True):
        if "moving" not in mine.name and mine.path != "classes/kernel":  # nothing masks what Dense reads: zeros
            np.testing.assert_array_equal(to_numpy(mine), to_numpy(theirs))
    dead = np.setdiff1d(np.arange(16), kept["stem"])
    norm = wide.get_layer("stem_norm")
    assert not to_numpy(norm.moving_mean)[dead].any()
    assert (to_numpy(norm.moving_variance)[dead] == 1).all()


def test_leading_channels_are_filled_first():
    narrow, _ = compact(pruned(residual, keep={"stem": 10}, ratio=1))
    kernel = to_numpy(expand(narrow, residual()).get_layer("a2").kernel)
    assert kernel[..., :10].all()
    assert not kernel[..., 10:].any()


def test_a_narrow_network_trains_like_the_expanded_one():
    narrow, kept = compact(pruned(residual))
    wide = expand(narrow, residual(), kept=kept)
    for model in (narrow, wide):
        model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse")
    data, target = pictures(4), np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    losses = [[float(model.train_on_batch(data, target)) for _ in range(3)] for model in (narrow, wide)]
    assert losses[0][2] != losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_single_zeros_remove_no_channel():
    model = maskable(randomise(residual()))
    WeightPruner(model).prune(0.5)
    narrow, kept = compact(model)
    assert_same_weights(narrow, strip(model))
    assert len(kept["stem"]) == 16


def test_kernel_columns_of_zeros_go_only_if_nothing_follows_them():
    model = randomise(residual())
    for name in ("a1", "b1"):
        kernel = to_numpy(model.get_layer(name).kernel).copy()
        kernel[..., :3] = 0
        model.get_layer(name).kernel.assign(kernel)
    model.get_layer("b1").bias.assign([0, 0, *range(1, 11)])
    narrow, kept = compact(model)
    assert (len(kept["a1"]), len(kept["b1"])) == (12, 10)  # a1 has a normalisation with beta, b1 a third bias
    np.testing.assert_allclose(outputs(narrow), outputs(model), atol=1e-5)


def test_a_group_without_life_keeps_one_channel():
    model = randomise(residual())
    for name in ("kernel", "bias"):
        variable = getattr(model.get_layer("b1"), name)
        variable.assign(np.zeros(variable.shape))
    narrow, kept = compact(model)
    assert list(kept["b1"]) == [0]
    np.testing.assert_allclose(outputs(narrow), outputs(model), atol=1e-5)


class Negate(layers.Layer):
    def call(self, x):
        return -x


def test_declared_layers_go_through():
    data = keras.Input((16, 16, 3))
    x = Negate(name="own")(layers.Conv2D(8, 3, name="first")(data))
    model = maskable(randomise(keras.Model(data, layers.Conv2D(4, 1, name="classes")(x))))
    ChannelPruner(model, keep={"first": 5}, channelwise=(Negate,)).prune()
    narrow, _ = compact(model, channelwise=(Negate,))
    assert narrow.get_layer("first").filters == 5
    np.testing.assert_allclose(outputs(narrow), outputs(model), atol=1e-5)
    assert compact(model)[0].get_layer("first").filters == 8


def test_what_does_not_belong_together_is_refused():
    narrow, kept = compact(pruned(residual, keep={"stem": 10}, ratio=1))
    with pytest.raises(UsageError, match="residual and concatenated differ in a1, a1_norm"):
        expand(narrow, NETS[1]())
    with pytest.raises(UsageError, match=r"stem/kernel has shape .* does not fit"):
        expand(residual(), narrow)
    with pytest.raises(UsageError, match="the kept channels lack"):
        expand(narrow, residual(), kept={"stem": kept["stem"]})
    with pytest.raises(UsageError, match=r"of (a2|b2|stem) contradict"):
        expand(narrow, residual(), kept={**kept, "a2": np.arange(11)})
    with pytest.raises(UsageError, match="stem go up to 16, but it has 16"):
        compact(residual(), kept={**kept, "stem": np.arange(17)})
