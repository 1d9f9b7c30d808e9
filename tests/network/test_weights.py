import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save
from tiny_network import SMALL

from icnet.base.errors import ModelError
from icnet.network import registry
from icnet.network.graph import BN_EPSILON
from icnet.network.registry import find_weights
from icnet.network.sparse import pack, to_half, unpack
from icnet.network.spec import COMPACT_60, SPARSE_60
from icnet.network.stored import sealed
from icnet.network.weights import Weights, expected_shapes, fold, kernel_zeros, load_weights, random_weights, save_weights


@pytest.fixture
def saved(tmp_path):
    """A weight file, what it holds, and its checksum."""
    weights = Weights(SMALL, random_weights(SMALL, seed=1).tensors, {"miou_strict": 0.5, "data": "CamVid"})
    path = tmp_path / "tiny.safetensors"
    return path, weights, save_weights(path, weights)


def test_round_trip(saved):
    path, weights, digest = saved
    found = load_weights(path)
    assert found.spec == SMALL
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


def sparse(weights: Weights, share: float, seed: int = 0) -> Weights:
    """The same weights with `share` of every kernel at zero, half of the zeros negative."""
    generator = np.random.default_rng(seed)
    tensors = dict(weights.tensors)
    for name, array in tensors.items():
        if name.endswith("/kernel"):
            tensors[name] = (array * (generator.random(array.shape) >= share)).astype(np.float32)
    return dataclasses.replace(weights, tensors=tensors)


def bits(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32).view(np.uint32)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.6, 1.0])
def test_zeros_come_back_bit_for_bit(saved, tmp_path, share):
    weights = sparse(saved[1], share)
    digest = save_weights(tmp_path / "sparse.safetensors", weights)
    found = load_weights(tmp_path / "sparse.safetensors")
    assert set(found.tensors) == set(weights.tensors)
    for name, array in weights.tensors.items():
        expected = array.astype(np.float16).astype(np.float32) + 0 if name.endswith("/kernel") else array  # + 0: no -0
        np.testing.assert_array_equal(bits(found.tensors[name]), bits(expected))
    assert kernel_zeros(found) == kernel_zeros(weights)
    assert save_weights(tmp_path / "again.safetensors", found) == digest


def test_a_sparse_file_takes_a_bit_and_two_bytes_a_value(saved, tmp_path):
    weights = sparse(saved[1], 0.6)
    path = tmp_path / "sparse.safetensors"
    save_weights(path, weights)
    expected = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    for name, array in weights.tensors.items():
        plain, packed = 2 * array.size, -(-array.size // 8) + 2 * np.count_nonzero(array)
        expected += min(plain, packed) if name.endswith("/kernel") else 4 * array.size
    assert path.stat().st_size == expected


def test_rounding_neither_makes_nor_loses_a_zero(saved, tmp_path):
    path, weights, _ = saved
    kernel = weights.tensors["stem2/kernel"].copy()
    kernel.ravel()[:6] = [1e-9, -1e-9, 2.0**-25, 0.0, -0.0, 65504]
    save_weights(path, dataclasses.replace(weights, tensors={**weights.tensors, "stem2/kernel": kernel}))
    found = load_weights(path).tensors["stem2/kernel"].ravel()
    np.testing.assert_array_equal(bits(found[:6]), bits(np.array([2.0**-24, -(2.0**-24), 2.0**-24, 0, 0, 65504])))


@pytest.mark.parametrize(
    ("name", "value"), [("stem2/kernel", 1e5), ("stem2/kernel", np.nan), ("stem2/mean", np.inf), ("classifier/bias", np.nan)]
)
def test_values_that_a_file_cannot_hold(saved, tmp_path, name, value):
    array = saved[1].tensors[name].copy()
    array.flat[1] = value
    with pytest.raises(ModelError, match=rf"cannot save {name}: it holds values that are not finite.*learning rate$"):
        save_weights(tmp_path / "x.safetensors", dataclasses.replace(saved[1], tensors={**saved[1].tensors, name: array}))
    assert not (tmp_path / "x.safetensors").exists()


def rewritten(path: Path, change) -> Path:
    """The file with `change` made to its dictionary of tensors, a header as before and the digest that fits."""
    with safe_open(path, framework="numpy") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors)
    path.write_bytes(sealed(save(tensors, metadata=header)))
    return path


MASK, VALUES = "stem2/kernel.mask", "stem2/kernel.values"


def flip(tensors):
    tensors[MASK] = tensors[MASK] ^ np.eye(1, len(tensors[MASK]), dtype=np.uint8)[0]


DAMAGES = {
    "a bit": (flip, "has .* values for the .* that its mask keeps"),
    "a value": (lambda tensors: tensors.update({VALUES: tensors[VALUES][1:]}), "has .* values for the"),
    "mask too short": (lambda tensors: tensors.update({MASK: tensors[MASK][1:]}), "has a mask of 71 bytes for 576 weights"),
    "no mask": (lambda tensors: tensors.pop(MASK), "has no mask"),
    "no values": (lambda tensors: tensors.pop(VALUES), "has no values"),
    "wide values": (lambda tensors: tensors.update({VALUES: tensors[VALUES].astype(np.float32)}), "values of float32"),
    "twice": (lambda tensors: tensors.update({"stem2/kernel": np.ones((3, 3, 8, 8), np.float16)}), "is stored twice"),
    "unknown": (lambda tensors: tensors.update({"stem9/kernel.mask": tensors[MASK]}), "is no part of this network"),
    "infinite": (lambda tensors: tensors.update({VALUES: tensors[VALUES] * np.float16(np.inf)}), "values that are not finite"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_halves_are_one_line(saved, damage):
    path, weights, _ = saved
    save_weights(path, sparse(weights, 0.6))
    change, text = DAMAGES[damage]
    with pytest.raises(ModelError, match=rf"tiny.safetensors is damaged: stem.*{text}.*anew$"):
        load_weights(rewritten(path, change))


def test_bits_behind_the_last_weight_are_refused(tmp_path):
    stored = {"k.mask": np.array([0b1000_0001], np.uint8), "k.values": np.ones(2, np.float16)}
    with pytest.raises(ValueError, match="k has 2 values for the 2"):
        unpack(stored, {"k": (1, 1, 1, 7)})
    assert unpack(stored, {"k": (1, 1, 2, 4)})["k"].ravel().tolist() == [1, 0, 0, 0, 0, 0, 0, 1]


def test_the_format_by_hand():
    kernel = to_half(np.array([0, 0, 3, 0, 0, 0, 0, 0, 0, -1.5], np.float32).reshape(1, 1, 2, 5))
    packed = pack("k", kernel)
    assert packed["k.mask"].tolist() == [0b100, 0b10], "the lowest bit is the first weight"
    assert packed["k.values"].tolist() == [3, -1.5]
    assert set(pack("k", kernel[:, :, :1, 2:3])) == {"k"}, "packed only where that is smaller"


def test_a_full_size_sparse_file_is_small(tmp_path):
    """26,675,584 kernel weights, 60 % zeros."""
    pattern = np.array([0, 0, 1.5, 0, -2], np.float32)
    shapes = expected_shapes(SPARSE_60, auxiliary=True)
    weights = Weights(SPARSE_60, {name: np.resize(pattern, shape) for name, shape in shapes.items()})
    path = tmp_path / "full.safetensors"
    save_weights(path, weights)
    assert path.stat().st_size <= 27e6
    found = load_weights(path)
    assert kernel_zeros(found) == kernel_zeros(weights) == pytest.approx(0.6 * 26_675_584, abs=len(shapes))


def test_number_formats_that_numpy_lacks(saved):
    path, _, _ = saved
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size].rstrip().replace(b'"F16"', b'"BF16"')
    header += b" " * (-len(header) % 8)
    path.write_bytes(sealed(len(header).to_bytes(8, "little") + header + data[8 + size :]))
    with pytest.raises(ModelError, match="not a readable weight file"):
        load_weights(path)


def test_bundled_file_still_loads():
    """A file without packed kernels, written before there were any."""
    weights = find_weights(COMPACT_60.name)
    assert set(expected_shapes(weights.spec)) <= set(weights.tensors)


def test_saving_again_gives_the_same_bytes(saved, tmp_path):
    _, weights, digest = saved
    assert save_weights(tmp_path / "again.safetensors", weights) == digest


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_file(saved, keep):
    path = saved[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"not a readable weight file|is damaged"):
        load_weights(path)


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match="no model file"):
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
    assert set(load_weights(path).tensors) == set(expected_shapes(SMALL))


def test_folding_by_hand():
    tensors = dict(random_weights(SMALL).tensors)
    channels = (4,)
    tensors["stem1/kernel"] = np.ones((3, 3, 3, 4), np.float32)
    tensors["stem1/kernel"][0, 0, 0] = 0
    for part, value in (("gamma", 3.0), ("beta", 5.0), ("mean", 2.0), ("variance", 0.25 - BN_EPSILON)):
        tensors[f"stem1/{part}"] = np.full(channels, value, np.float32)
    folded = fold(Weights(SMALL, tensors))
    # gamma / sqrt(variance) = 3 / 0.5 = 6; bias = 5 - 2 * 6.
    np.testing.assert_allclose(folded["stem1"].kernel[1:], 6, rtol=1e-6)
    np.testing.assert_allclose(folded["stem1"].bias, -7, rtol=1e-6)
    assert not folded["stem1"].kernel[0, 0, 0].any(), "pruned weights stay zero"
    np.testing.assert_array_equal(folded["classifier"].kernel, tensors["classifier/kernel"])
    np.testing.assert_array_equal(folded["classifier"].bias, tensors["classifier/bias"])
    assert not any(name.startswith("auxiliary") for name in folded)


def test_random_weights_are_seeded():
    first, again, other = (random_weights(SMALL, seed).tensors["stem2/kernel"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_find_weights_by_path_and_name(saved, monkeypatch, tmp_path):
    path, _, digest = saved
    assert find_weights(str(path)).spec == SMALL
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    path.rename(tmp_path / f"{COMPACT_60.name}.safetensors")
    monkeypatch.setattr(registry, "SHA256", {COMPACT_60.name: digest})
    assert find_weights(COMPACT_60.name).spec == SMALL
    monkeypatch.setattr(registry, "SHA256", {COMPACT_60.name: "0" * 64})
    with pytest.raises(ModelError, match=r"damaged.*install icnet again"):
        find_weights(COMPACT_60.name)
    (tmp_path / f"{COMPACT_60.name}.safetensors").unlink()
    with pytest.raises(ModelError, match=r"not in this installation: take .* from src/icnet/weights in the repository"):
        find_weights(COMPACT_60.name)
    with pytest.raises(ModelError, match="unknown model"):
        find_weights("resnet")
    with pytest.raises(ModelError, match="icnet train"):
        find_weights("icnet-camvid-ava-0001")


def test_a_dead_channel_folds_to_zero_but_its_weights_are_not_pruned():
    tensors = dict(random_weights(SMALL, seed=3).tensors)
    tensors["stem1/gamma"] = np.array([1, 0, 2, 1] * 2, np.float32)
    tensors["stem1/beta"] = np.array([0, 0, 5, 0] * 2, np.float32)
    folded = fold(Weights(SMALL, tensors))
    assert not folded["stem1"].kernel[..., 1].any()
    assert folded["stem1"].stored[..., 1].all()
    assert folded["stem1"].bias.tolist() == [0, 0, 5, 0] * 2
    assert not folded["stem1"].kernel_keeps_zeros
    assert folded["stem2"].kernel_keeps_zeros


def test_the_bundled_sparse_network_has_exactly_sixty_percent_zeros():
    weights = find_weights("icnet-camvid-ava-sparse-60-0001")
    assert kernel_zeros(weights) == 16_005_350 == round(0.6 * 26_675_584)
