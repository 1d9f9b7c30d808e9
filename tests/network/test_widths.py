import dataclasses

import numpy as np
import pytest
from engines import in_openvino
from tiny_network import SMALL, WIDE

from icnet.base.errors import ModelError
from icnet.network.graph import convolutions
from icnet.network.openvino_model import openvino_model
from icnet.network.weights import Weights, expected_shapes, load_weights, random_weights, save_weights
from icnet.network.widths import narrow, widen


@pytest.fixture
def weights() -> Weights:
    """Every tensor random, as after training."""
    generator = np.random.default_rng(5)
    tensors = dict(random_weights(SMALL, seed=5).tensors)
    for name, array in tensors.items():
        if not name.endswith("/kernel"):
            low, high = (0.5, 1.5) if name.endswith(("gamma", "variance")) else (-0.5, 0.5)
            tensors[name] = generator.uniform(low, high, array.shape).astype(np.float32)
    return Weights(SMALL, tensors, {"miou_strict": 0.5})


def test_there_and_back_bit_for_bit(weights):
    wide = widen(weights, WIDE)
    assert wide.spec == WIDE
    assert {name: array.shape for name, array in wide.tensors.items()} == expected_shapes(WIDE, auxiliary=True)
    again = narrow(wide, SMALL)
    assert (again.spec, again.about) == (SMALL, weights.about)
    assert again.tensors.keys() == weights.tensors.keys()
    for name, array in weights.tensors.items():
        np.testing.assert_array_equal(again.tensors[name].view(np.uint32), array.view(np.uint32))


def test_what_is_added_is_zero_and_survives_the_file(weights, tmp_path):
    wide = widen(weights, WIDE)
    for name, array in wide.tensors.items():
        outside = array.copy()
        outside[tuple(slice(size) for size in weights.tensors[name].shape)] = name.endswith("/variance")
        assert (outside == name.endswith("/variance")).all(), name
    save_weights(tmp_path / "wide.safetensors", wide)
    kernels = [f"{conv.name}/kernel" for conv in convolutions(SMALL)]
    again = narrow(load_weights(tmp_path / "wide.safetensors"), SMALL)
    assert all((again.tensors[name] == weights.tensors[name]).all() for name in kernels)


def test_without_auxiliary_heads(weights):
    slim = {name: array for name, array in weights.tensors.items() if not name.startswith("auxiliary")}
    wide = widen(dataclasses.replace(weights, tensors=slim), WIDE)
    assert set(wide.tensors) == set(slim) == set(narrow(wide, SMALL).tensors)


def probabilities(weights: Weights, image: np.ndarray) -> np.ndarray:
    return in_openvino(openvino_model(weights, output="soft"), image)


def test_same_outputs(weights):
    image = np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3)).astype(np.float32)
    expected, found = probabilities(weights, image), probabilities(widen(weights, WIDE), image)
    assert np.abs(found - expected).max() <= 1e-4
    assert expected.max() - expected.min() > 0.05, "the comparison needs something to see"
    wrong = widen(weights, WIDE)
    wrong.tensors["stem1/beta"][-1] = 3
    wrong.tensors["stem2/kernel"][..., -1, :] = 0.3
    assert np.abs(probabilities(wrong, image) - expected).max() > 1e-4, "a channel that is not dead must show"


@pytest.mark.parametrize("name", ["stem2/kernel", "stem3/gamma", "stage2_1_expand/beta", "auxiliary_eighth/kernel"])
def test_refuses_to_cut_what_is_alive(weights, name):
    wide = widen(weights, WIDE)
    last = (..., -1, 0) if name.endswith("/kernel") else -1
    wide.tensors[name][last] = 1e-6
    with pytest.raises(ModelError, match=f"of {name} outside them are not zero"):
        narrow(wide, SMALL)


def test_statistics_of_dead_channels_may_have_moved(weights):
    wide = widen(weights, WIDE)
    wide.tensors["stem1/mean"][-1] = 7
    wide.tensors["stem1/variance"][-1] = 0
    assert (narrow(wide, SMALL).tensors["stem1/mean"] == weights.tensors["stem1/mean"]).all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"blocks": (1, 1, 1, 1)}, "differ in blocks"),
        ({"classes": 13}, "differ in classes"),
        ({"mean_bgr": (0.0, 0.0, 0.0)}, "differ in mean_bgr"),
        ({"fusion": 4}, "not the wider network at fusion1_low/kernel"),
    ],
)
def test_refuses_another_network(weights, change, text):
    with pytest.raises(ModelError, match=text):
        widen(weights, dataclasses.replace(WIDE, **change))


def test_refuses_incomplete_weights(weights):
    del weights.tensors["stem1/gamma"]
    with pytest.raises(ModelError, match="at stem1/gamma"):
        widen(weights, WIDE)


def test_narrow_refuses_a_wider_network(weights):
    with pytest.raises(ModelError, match="not the wider network at stem1/kernel"):
        narrow(weights, WIDE)
