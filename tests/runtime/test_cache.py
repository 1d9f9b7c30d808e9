import os

import numpy as np
import pytest

from icnet.network.weights import random_weights, save_weights
from icnet.runtime import cache
from icnet.runtime.engine import Engine, EngineOptions
from icnet.runtime.segmenter import Segmenter


@pytest.fixture
def model(tiny, tmp_path):
    save_weights(tmp_path / "w.safetensors", random_weights(tiny, seed=1))
    return tmp_path / "w.safetensors"


def raw(engine: Engine) -> np.ndarray:
    return engine.infer(np.full((1, 96, 128, 3), 77, np.uint8))


def test_the_second_start_reads_what_the_first_compiled(model, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    first, second = (Engine(model, EngineOptions(cache=True)) for _ in range(2))
    assert (first.from_cache, second.from_cache) == (False, True)
    assert np.array_equal(raw(first), raw(second))
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 1


def test_a_segmenter_keeps_its_model(model, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    Segmenter(model)
    assert Segmenter(model).engine.from_cache


def test_an_empty_variable_keeps_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "")
    assert cache.cache_folder() is None
    assert not Engine(model, EngineOptions(cache=True)).from_cache
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.safetensors"]


def test_without_the_variable_it_is_the_users_cache_folder(monkeypatch):
    monkeypatch.delenv(cache.VARIABLE)
    assert cache.cache_folder().name == "icnet"


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_damaged_file_costs_only_time(model, tmp_path, monkeypatch, damage):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    expected = raw(Engine(model, EngineOptions(cache=True)))
    (blob,) = (tmp_path / "cache").glob("*.blob")
    whole = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes({"cut": whole[: len(whole) // 2], "garbage": os.urandom(len(whole)), "empty": b""}[damage])
    assert np.array_equal(raw(Engine(model, EngineOptions(cache=True))), expected)


def test_a_place_that_cannot_be_written_costs_only_time(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file" / "cache"))
    assert raw(Engine(model, EngineOptions(cache=True))).shape == (1, 12, 24, 32)


def test_old_files_go(model, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv(cache.VARIABLE, str(folder))
    folder.mkdir()
    for number in range(cache.MOST + 3):
        (folder / f"{number}.blob").write_bytes(b"x")
        os.utime(folder / f"{number}.blob", (number, number))
    Engine(model, EngineOptions(cache=True))
    names = {path.name for path in folder.glob("*.blob")}
    assert len(names) == cache.MOST
    assert not names & {"0.blob", "1.blob", "2.blob", "3.blob"}
