import dataclasses
import hashlib

import numpy as np
import pytest
from safetensors.numpy import save

from icnet.base import registry
from icnet.base.errors import ModelError
from icnet.base.network import BN_EPSILON
from icnet.base.registry import find_weights
from icnet.base.spec import DEFAULT_MODEL, IcnetSpec
from icnet.base.weights import Weights, expected_shapes, fold, load_weights, random_weights, save_weights

SPEC = IcnetSpec(
    name="tiny",
    stem=(4, 4, 4),
    stage2=(4, 4),
    stage3=(4, 8),
    stage4=(4, 8),
    stage5=(4, 8),
    blocks=(1, 1, 1, 1),
    pyramid=4,
    detail=(4, 4, 4),
    fusion=4,
    size_hw=(64, 96),
)


@pytest.fixture
def saved(tmp_path):
    """A weight file, what it holds, and its checksum."""
    weights = Weights(SPEC, random_weights(SPEC, seed=1).tensors, {"miou_strict": 0.5, "data": "CamVid"})
    path = tmp_path / "tiny.safetensors"
    return path, weights, save_weights(path, weights)


def test_round_trip(saved):
    path, weights, digest = saved
    found = load_weights(path, sha256=digest)
    assert found.spec == SPEC
    assert found.about == weights.about
    assert set(found.tensors) == set(weights.tensors)
    for name, array in found.tensors.items():
        stored = np.float16 if name.endswith("/kernel") else np.float32
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, weights.tensors[name].astype(stored))
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_kernels_take_two_bytes_a_weight(saved):
    path, weights, _ = saved
    numbers = sum(array.size for array in weights.tensors.values())
    kernels = sum(array.size for name, array in weights.tensors.items() if name.endswith("/kernel"))
    header = int.from_bytes(path.read_bytes()[:8], "little") + 8
    assert path.stat().st_size == header + 2 * kernels + 4 * (numbers - kernels)


def test_saving_again_gives_the_same_bytes(saved, tmp_path):
    _, weights, digest = saved
    assert save_weights(tmp_path / "again.safetensors", weights) == digest


def test_wrong_checksum(saved):
    with pytest.raises(ModelError, match=r"damaged.*install icnet again"):
        load_weights(saved[0], sha256="0" * 64)


def test_one_flipped_bit_is_noticed_by_the_checksum(saved):
    path, _, digest = saved
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        load_weights(path, sha256=digest)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_file(saved, keep):
    path = saved[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="not a readable weight file"):
        load_weights(path)


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match="no weight file"):
        load_weights(tmp_path / "none.safetensors")


def test_someone_elses_safetensors(tmp_path):
    path = tmp_path / "other.safetensors"
    path.write_bytes(save({"x": np.zeros(3, np.float32)}))
    with pytest.raises(ModelError, match="does not say which network"):
        load_weights(path)


@pytest.mark.parametrize("change", ["missing", "reshaped"])
def test_tensors_that_do_not_fit_the_description(saved, change):
    path, weights, _ = saved
    tensors = dict(weights.tensors)
    kernel = tensors.pop("stem2/kernel")
    if change == "reshaped":
        tensors["stem2/kernel"] = kernel[:, :, :2]
    save_weights(path, dataclasses.replace(weights, tensors=tensors))
    with pytest.raises(ModelError, match="stem2/kernel"):
        load_weights(path)


def test_auxiliary_heads_may_be_left_out(saved):
    path, weights, _ = saved
    slim = {name: array for name, array in weights.tensors.items() if not name.startswith("auxiliary")}
    save_weights(path, dataclasses.replace(weights, tensors=slim))
    assert set(load_weights(path).tensors) == set(expected_shapes(SPEC))


def test_folding_by_hand():
    tensors = dict(random_weights(SPEC).tensors)
    channels = (4,)
    tensors["stem1/kernel"] = np.ones((3, 3, 3, 4), np.float32)
    tensors["stem1/kernel"][0, 0, 0] = 0
    for part, value in (("gamma", 3.0), ("beta", 5.0), ("mean", 2.0), ("variance", 0.25 - BN_EPSILON)):
        tensors[f"stem1/{part}"] = np.full(channels, value, np.float32)
    folded = fold(Weights(SPEC, tensors))
    # gamma / sqrt(variance) = 3 / 0.5 = 6; bias = 5 - 2 * 6.
    np.testing.assert_allclose(folded["stem1"].kernel[1:], 6, rtol=1e-6)
    np.testing.assert_allclose(folded["stem1"].bias, -7, rtol=1e-6)
    assert not folded["stem1"].kernel[0, 0, 0].any(), "pruned weights stay zero"
    np.testing.assert_array_equal(folded["classifier"].kernel, tensors["classifier/kernel"])
    np.testing.assert_array_equal(folded["classifier"].bias, tensors["classifier/bias"])
    assert not any(name.startswith("auxiliary") for name in folded)


def test_random_weights_are_seeded():
    first, again, other = (random_weights(SPEC, seed).tensors["stem2/kernel"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_find_weights_by_path_and_name(saved, monkeypatch, tmp_path):
    path, _, digest = saved
    assert find_weights(str(path)).spec == SPEC
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    path.rename(tmp_path / f"{DEFAULT_MODEL}.safetensors")
    monkeypatch.setattr(registry, "SHA256", {DEFAULT_MODEL: digest})
    assert find_weights(DEFAULT_MODEL).spec == SPEC
    monkeypatch.setattr(registry, "SHA256", {DEFAULT_MODEL: "0" * 64})
    with pytest.raises(ModelError, match="damaged"):
        find_weights(DEFAULT_MODEL)
    with pytest.raises(ModelError, match="unknown model"):
        find_weights("resnet")
    with pytest.raises(ModelError, match="icnet train"):
        find_weights("icnet-camvid-ava-0001")
