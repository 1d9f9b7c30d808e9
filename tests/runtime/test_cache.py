import logging
import os
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from icnet.base import places
from icnet.base.places import CACHE, cache_folder
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
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    first, second = (Engine(model, EngineOptions(cache=True)) for _ in range(2))
    assert (first.from_cache, second.from_cache) == (False, True)
    assert np.array_equal(raw(first), raw(second))
    assert len(list((tmp_path / "cache").glob("*.blob"))) == 1


def test_a_segmenter_keeps_its_model(model, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    Segmenter(model)
    assert Segmenter(model).engine.from_cache


def test_an_empty_variable_keeps_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, "")
    assert cache_folder() is None
    assert not Engine(model, EngineOptions(cache=True)).from_cache
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.safetensors"]


def test_without_the_variable_it_is_the_users_cache_folder(monkeypatch):
    monkeypatch.delenv(CACHE)
    assert cache_folder().name == "icnet"


@pytest.mark.parametrize("damage", ["flipped", "cut", "hole", "empty"])
def test_a_damaged_file_costs_only_time_and_is_replaced(model, tmp_path, monkeypatch, damage, seed):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    expected, generator = raw(Engine(model, EngineOptions(cache=True))), np.random.default_rng(seed)
    (blob,) = (tmp_path / "cache").glob("*.blob")
    whole = blob.read_bytes()
    for place in generator.integers(0, len(whole), 8 if damage == "flipped" else 1):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(generator.integers(8))
        hole = whole[:1000] + bytes(1000) + whole[2000:]
        blob.write_bytes({"flipped": flipped, "cut": whole[:place], "hole": hole, "empty": b""}[damage])
        engine = Engine(model, EngineOptions(cache=True))
        assert not engine.from_cache
        assert np.array_equal(raw(engine), expected)
        assert Engine(model, EngineOptions(cache=True)).from_cache, "it was replaced"


def test_a_compiled_model_depends_on_all_that_made_it(model, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    Engine(model, EngineOptions(cache=True))
    for other in (EngineOptions(cache=True, size_hw=(64, 96)), EngineOptions(cache=True, threads=1)):
        assert not Engine(model, other).from_cache
    save_weights(model, random_weights(tiny, seed=2))
    assert not Engine(model, EngineOptions(cache=True)).from_cache
    assert Engine(model, EngineOptions(cache=True)).from_cache
    monkeypatch.setattr(cache, "_code", lambda: "an edited graph")
    assert not Engine(model, EngineOptions(cache=True)).from_cache


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_a_folder_in_which_others_may_write_is_not_used(model, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    logger = logging.getLogger(cache.__name__)
    caplog.set_level(logging.WARNING, logger.name)  # libraries that set up their own logging silence others'
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logging.root.manager, "disable", 0)
    for _ in range(2):
        assert not Engine(model, EngineOptions(cache=True)).from_cache
    assert not list((tmp_path / "cache").iterdir())
    (line,) = caplog.messages
    assert "others may write" in line
    assert CACHE in line


def test_an_unknown_home_keeps_nothing(monkeypatch):
    monkeypatch.delenv(CACHE)
    monkeypatch.setattr(places, "user_cache_path", lambda *_, **__: Path("~/.cache/icnet"))
    assert cache_folder() is None
    monkeypatch.setattr(places, "user_cache_path", Mock(side_effect=RuntimeError))
    assert cache_folder() is None


def test_a_place_that_cannot_be_written_costs_only_time(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv(CACHE, str(tmp_path / "file" / "cache"))
    assert raw(Engine(model, EngineOptions(cache=True))).shape == (1, 12, 24, 32)


def test_old_files_go(model, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE, str(folder))
    folder.mkdir()
    for number in range(cache.MOST + 3):
        (folder / f"{number}.blob").write_bytes(b"x")
        os.utime(folder / f"{number}.blob", (number, number))
    Engine(model, EngineOptions(cache=True))
    names = {path.name for path in folder.glob("*.blob")}
    assert len(names) == cache.MOST
    assert not names & {"0.blob", "1.blob", "2.blob", "3.blob"}
