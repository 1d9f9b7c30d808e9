"""The pruners on the network that they were made for."""

import dataclasses

import keras
import numpy as np
import pytest
from small_models import randomise
from tiny_network import TINY, TINY_LITE

from icnet.network.graph import convolutions
from icnet.network.keras_layers import GridPool, Resize, StochasticDepth
from icnet.network.keras_model import build
from icnet.network.keras_weights import get_weights
from icnet.network.spec import COMPACT_60, DENSE
from icnet.pruning import ChannelPruner, WeightPruner, compact, expand, maskable, report
from icnet.pruning.masks import to_numpy

AUXILIARY = ("auxiliary_eighth", "auxiliary_sixteenth")
CHANNELWISE = (Resize, GridPool, StochasticDepth)


def softmax(model):
    size_hw = model.input_shape[1:3]
    data = np.random.default_rng(0).uniform(0, 255, (1, *size_hw, 3)).astype(np.float32)
    return [to_numpy(keras.ops.softmax(head)) for head in model(data, training=False)]


@pytest.mark.parametrize(
    ("spec", "tied"),
    [
        (TINY, ("stage2_1_shortcut", "stage2_1_expand")),
        (TINY_LITE, ("block2_project", "block3_project")),  # a residual stream
        (TINY_LITE, ("block3_pointwise",)),  # through the depthwise convolution to the projection
    ],
)
def test_a_tiny_network_stays_the_same_when_compacted_and_expanded(spec, tied):
    model = maskable(randomise(build(spec, (64, 96), auxiliary=True)))
    pruner = ChannelPruner(model, exclude=AUXILIARY, channelwise=CHANNELWISE, multiple_of=2, minimum=2)
    assert set(pruner.graph.groups[tied[0]].producers) == set(tied)
    assert pruner.prune(0.5) >= 0.5 * pruner.total
    narrow, kept = compact(model, channelwise=CHANNELWISE)
    wide = expand(narrow, build(spec, (64, 96), auxiliary=True), kept=kept, channelwise=CHANNELWISE)
    for masked, compacted, expanded in zip(softmax(model), softmax(narrow), softmax(wide), strict=True):
        np.testing.assert_allclose(compacted, masked, atol=1e-4)
        np.testing.assert_allclose(expanded, masked, atol=1e-4)


def test_the_full_network_by_weights_and_by_channels():
    model = maskable(randomise(build(DENSE, (96, 128), auxiliary=True)))
    pruner = WeightPruner(model, exclude=AUXILIARY)
    assert pruner.total == 26_675_584
    assert pruner.prune(0.6) == 16_005_350
    assert sum(int((to_numpy(layer.kernel) == 0).sum()) for layer in pruner.layers) == 16_005_350

    keep = {conv.name: conv.kernel_shape[3] for conv in convolutions(COMPACT_60)}
    ChannelPruner(model, keep=keep, exclude=AUXILIARY, channelwise=CHANNELWISE).prune()
    narrow, _ = compact(model, channelwise=CHANNELWISE)
    for masked, compacted in zip(softmax(model), softmax(narrow), strict=True):
        np.testing.assert_allclose(compacted, masked, atol=1e-4)
    shapes = {name: tensor.shape for name, tensor in get_weights(narrow, COMPACT_60).tensors.items() if name.endswith("kernel")}
    for conv in convolutions(COMPACT_60):
        assert shapes[f"{conv.name}/kernel"] == conv.kernel_shape
    counted = [layer for layer in report(model, narrow, channelwise=CHANNELWISE).layers if layer.name not in AUXILIARY]
    assert sum(layer.kernel_weights for layer in counted) == 10_589_120
    like_dense = dataclasses.replace(COMPACT_60, convolve_low=DENSE.convolve_low)
    assert [2 * conv.multiply_adds for conv in convolutions(like_dense, (96, 128))] == pytest.approx(
        [next(layer.flops for layer in counted if layer.name == conv.name) for conv in convolutions(COMPACT_60)]
    )
