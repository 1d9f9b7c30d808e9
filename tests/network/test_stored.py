import os
import shutil

import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.base.errors import ModelError
from icnet.deploy.openvino import save_ir
from icnet.network import stored as module
from icnet.network.openvino_model import openvino_model
from icnet.network.stored import read_stored
from icnet.network.weights import random_weights, save_weights
from icnet.runtime.engine import Engine, EngineOptions

FLIPS = 100


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The same network as weights and as an IR, and each with other numbers under `other`."""
    from tiny_network import TINY

    folder = tmp_path_factory.mktemp("models")
    for name, seed in (("model", 1), ("other", 2)):
        weights = random_weights(TINY, seed=seed)
        save_weights(folder / f"{name}.safetensors", weights)
        save_ir(openvino_model(weights), folder / f"{name}.xml", {}, CAMVID)
    return folder


def answer(path) -> np.ndarray:
    return Engine(path, EngineOptions(threads=1)).infer(np.full((1, 96, 128, 3), 77, np.uint8))


@pytest.mark.parametrize("suffix", [".safetensors", ".xml", ".bin"])
def test_a_flipped_bit_is_refused_or_changes_nothing(models, tmp_path, suffix, seed, record_property):
    name = "model.safetensors" if suffix == ".safetensors" else "model.xml"
    for each in (".safetensors", ".xml", ".bin"):
        shutil.copy(models / f"model{each}", tmp_path)
    file, generator = tmp_path / f"model{suffix}", np.random.default_rng(seed)
    whole, expected, refused = file.read_bytes(), answer(models / name), 0
    header = min(len(whole), 2000)  # half of the flips where the description is
    for place in [*generator.integers(0, len(whole), FLIPS // 2), *generator.integers(0, header, FLIPS // 2)]:
        changed = bytearray(whole)
        changed[place] ^= 1 << int(generator.integers(8))
        file.write_bytes(changed)
        try:
            found = answer(tmp_path / name)
        except ModelError:
            refused += 1
        else:  # only the word that announces the digest can be flipped unnoticed
            np.testing.assert_array_equal(found, expected)
    record_property("cases", FLIPS)
    assert refused >= 0.95 * FLIPS


def test_the_digest_of_an_ir_covers_both_files(models, tmp_path):
    shutil.copy(models / "model.xml", tmp_path)
    shutil.copy(models / "other.bin", tmp_path / "model.bin")
    with pytest.raises(ModelError, match="is damaged"):
        read_stored(tmp_path / "model.xml")


@pytest.mark.parametrize("change", ["overwritten", "cut"])
def test_a_model_that_runs_needs_its_files_no_more(models, tmp_path, change):
    names = [f"model{suffix}" for suffix in (".safetensors", ".xml", ".bin")]
    for name in names:
        shutil.copy(models / name, tmp_path)
    image = np.full((1, 96, 128, 3), 77, np.uint8)
    engines = [Engine(tmp_path / name, EngineOptions(threads=1)) for name in names[:2]]
    before = [(engine.sha256, engine.infer(image)) for engine in engines]
    for name in names:
        with (tmp_path / name).open("r+b") as file:  # in place, as `cp` does it
            if change == "overwritten":
                file.write((models / name.replace("model", "other")).read_bytes())
            file.truncate(None if change == "overwritten" else 0)
    for engine, (sha256, expected) in zip(engines, before, strict=True):
        np.testing.assert_array_equal(engine.infer(image), expected)
        assert engine.sha256 == sha256
    if change == "overwritten":
        assert Engine(tmp_path / names[1]).sha256 == Engine(models / "other.xml").sha256 != before[1][0]


def test_files_that_change_while_they_are_read_are_read_again(models, tmp_path, monkeypatch):
    for name in ("model.xml", "model.bin"):
        shutil.copy(models / name, tmp_path)
    real, calls = module._stamp, []

    def stamp(path):
        calls.append(path)
        if len(calls) == 3:  # both have been read
            for suffix in (".xml", ".bin"):
                os.replace(shutil.copy(models / f"other{suffix}", tmp_path / "new"), tmp_path / f"model{suffix}")
        return real(path)

    monkeypatch.setattr(module, "_stamp", stamp)
    assert read_stored(tmp_path / "model.xml").data == (models / "other.xml").read_bytes()
    monkeypatch.setattr(module, "_stamp", lambda path: (len(calls), calls.append(path)))
    with pytest.raises(ModelError, match="keep changing"):
        read_stored(tmp_path / "model.xml")
