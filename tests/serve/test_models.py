import os
import shutil

import numpy as np
import pytest

from icnet.base.errors import ModelError, UsageError
from icnet.network.registry import IR_SHA256
from icnet.network.spec import DEFAULT_MODEL
from icnet.network.weights import random_weights, save_weights
from icnet.runtime.engine import EngineOptions
from icnet.serve.errors import NotFound
from icnet.serve.metrics import Metrics
from icnet.serve.models import Models

OPTIONS = EngineOptions(threads=1)


@pytest.fixture
def files(tiny, tmp_path):
    """Two versions of a network and the name under which one is served."""
    for number in (1, 2):
        save_weights(tmp_path / f"{number}.safetensors", random_weights(tiny, seed=number))
    shutil.copy(tmp_path / "1.safetensors", tmp_path / "served.safetensors")
    return tmp_path


def put(files, name):
    """Replace the served file as users should."""
    shutil.copy(files / name, files / "new")
    os.replace(files / "new", files / "served.safetensors")


def infos(metrics):
    return {tuple(s.labels.values()) for s in metrics._models.collect()[0].samples}


def test_a_reload_changes_the_version_and_leaves_the_old_one_usable(files, tiny):
    metrics = Metrics()
    models = Models([str(files / "served.safetensors")], OPTIONS, metrics)
    old = models.get()
    put(files, "2.safetensors")
    assert models.get() is old, "nothing changes by itself"
    new = models.reload(old.name)
    assert models.get() is new
    assert new.version != old.version
    frame = np.random.default_rng(0).integers(0, 256, (*tiny.size_hw, 3), dtype=np.uint8)
    assert not np.array_equal(old.segmenter(frame).classes, new.segmenter(frame).classes)
    assert models.get(old.name, new.version) is new
    with pytest.raises(NotFound, match="version"):
        models.get(old.name, old.version)
    assert infos(metrics) == {(new.name, new.version)}
    put(files, "1.safetensors")
    assert models.reload(old.name).version == old.version, "the version is the content's"


@pytest.mark.parametrize("content", [b"", b"no model", "half", None])
def test_a_damaged_file_leaves_the_old_version_serving(files, content):
    metrics = Metrics()
    models = Models([str(files / "served.safetensors")], OPTIONS, metrics)
    old = models.get()
    if content is None:
        (files / "served.safetensors").unlink()
    else:
        whole = (files / "2.safetensors").read_bytes()
        (files / "served.safetensors").write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(ModelError) as error:
        models.reload(old.name)
    assert "\n" not in str(error.value)
    assert models.get() is old
    assert metrics.registry.get_sample_value("icnet_model_reloads_total", {"model": old.name, "result": "failed"}) == 1


def test_a_file_that_holds_another_model_is_refused(files, tiny):
    from dataclasses import replace

    models = Models([str(files / "served.safetensors")], OPTIONS, Metrics())
    name = models.get().name
    save_weights(files / "served.safetensors", random_weights(replace(tiny, name="other"), seed=3))
    with pytest.raises(ModelError, match="holds other now"):
        models.reload(name)
    assert models.get().name == name


def test_several_models_by_name(files):
    models = Models([DEFAULT_MODEL, str(files / "served.safetensors")], OPTIONS, Metrics())
    assert models.default == models.get().name == DEFAULT_MODEL
    assert IR_SHA256[DEFAULT_MODEL].startswith(models.get().version)
    assert len(list(models)) == 2
    for name in ("", "../x", "nothing" * 1000):
        with pytest.raises(NotFound) as error:
            models.get(name)
        assert len(str(error.value)) < 300, "what a client made up is not repeated"
    with pytest.raises(UsageError, match="two models"):
        Models([str(files / "1.safetensors"), str(files / "2.safetensors")], OPTIONS, Metrics())
    with pytest.raises(ModelError):
        Models([str(files / "missing.xml")], OPTIONS, Metrics())


def test_the_version_is_that_of_the_bytes_that_run(files, monkeypatch):
    from icnet.serve import models as module

    real = module.Segmenter

    def replaced_meanwhile(model, options):
        segmenter = real(model, options)
        put(files, "2.safetensors")
        return segmenter

    monkeypatch.setattr(module, "Segmenter", replaced_meanwhile)
    served = Models([str(files / "served.safetensors")], OPTIONS, Metrics()).get()
    monkeypatch.undo()
    assert served.version == Models([str(files / "1.safetensors")], OPTIONS, Metrics()).get().version
