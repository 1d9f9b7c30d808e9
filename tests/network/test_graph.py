import dataclasses

import numpy as np
import pytest

from icnet.network.graph import convolutions, logits
from icnet.network.spec import COMPACT_60, DENSE, SPARSE_60
from icnet.network.weights import fold, random_weights


@pytest.mark.parametrize("spec", [DENSE, SPARSE_60])
def test_dense_counts_are_the_published_ones(spec):
    convs = convolutions(spec)
    kernel_weights = sum(conv.kernel_weights for conv in convs)
    biases = sum(conv.kernel_shape[3] for conv in convs)
    assert kernel_weights == 26_675_584
    assert biases == 28_556
    assert round((kernel_weights + biases) / 1e6, 4) == 26.7041
    gflops = 2 * sum(conv.multiply_adds for conv in convs) / 1e9
    assert gflops == pytest.approx(75.818, rel=0.005)


def test_compact_keeps_at_most_forty_percent():
    assert sum(conv.kernel_weights for conv in convolutions(COMPACT_60)) <= 0.4 * 26_675_584


def test_convolving_low_takes_a_quarter_of_the_operations():
    usual, low = (
        {conv.name: conv for conv in convolutions(dataclasses.replace(DENSE, convolve_low=flag), (512, 512))}
        for flag in (False, True)
    )
    assert usual.keys() == low.keys()
    assert {name for name, conv in usual.items() if conv != low[name]} == {"fusion1_low", "fusion2_low"}
    for name in ("fusion1_low", "fusion2_low"):
        assert usual[name].kernel_shape == low[name].kernel_shape
        assert usual[name].multiply_adds == 4 * low[name].multiply_adds


def test_hand_counted_convolutions():
    convs = {conv.name: conv for conv in convolutions(DENSE)}
    # First 3x3 convolution of the middle branch: 3 to 64 channels, output at 1/4 of 720x960.
    assert convs["stem1"].kernel_shape == (3, 3, 3, 64)
    assert convs["stem1"].multiply_adds == 3 * 3 * 3 * 64 * 180 * 240
    # At 1/32 the odd 45 rows of 1/16 become 23.
    assert convs["stage5_3_expand"].multiply_adds == 512 * 2048 * 23 * 30
    assert convs["detail3"].kernel_shape == (3, 3, 64, 128)
    assert convs["classifier"].multiply_adds == 256 * 12 * 90 * 120


def test_auxiliary_heads_are_for_training_only():
    inference, training = ({conv.name for conv in convolutions(DENSE, auxiliary=extra)} for extra in (False, True))
    assert training - inference == {"auxiliary_eighth", "auxiliary_sixteenth"}
    assert inference < training


def test_names_are_unique_and_weights_do_not_depend_on_the_size():
    shapes = [(conv.name, conv.kernel_shape) for conv in convolutions(DENSE)]
    assert len({name for name, _ in shapes}) == len(shapes)
    assert shapes == [(conv.name, conv.kernel_shape) for conv in convolutions(DENSE, (80, 112))]


class Touched:
    """Operations that record which convolution feeds which, to see the branches meet."""

    def normalise(self, x, mean, std):
        return frozenset({"image"})

    def conv(self, x, name, width, kernel=1, *, stride=1, dilation=1, act="relu"):
        return x | {name}

    def depthwise(self, x, name, kernel, *, stride=1, act="relu"):
        return x | {name}

    def project(self, x, name, width):
        return x | {name}

    def add(self, xs, name, *, act="relu", drop=0.0):
        return frozenset().union(*xs)

    def max_pool(self, x, name):
        return x

    def pool(self, x, name, bins):
        return x | {f"bins {bins}"}

    def resize(self, x, name, size_hw):
        return x


def test_every_convolution_reaches_its_head():
    heads = logits(Touched(), frozenset(), DENSE, (720, 960), auxiliary=True)
    names = {conv.name for conv in convolutions(DENSE)}
    assert names < heads.full
    assert {f"bins {bins}" for bins in (1, 2, 3, 6)} < heads.full
    assert not {name for name in heads.eighth | heads.sixteenth if name.startswith("detail")}, (
        "auxiliary heads come before the detail branch"
    )
    assert "fusion1_low" in heads.eighth
    assert "fusion1_low" not in heads.sixteenth


def test_folded_biases_are_counted_too():
    folded = fold(random_weights(COMPACT_60))
    assert sum(conv.bias.size for conv in folded.values()) == sum(conv.kernel_shape[3] for conv in convolutions(COMPACT_60))
    assert all(conv.kernel.dtype == conv.bias.dtype == np.float32 for conv in folded.values())
