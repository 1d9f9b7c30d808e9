import json
import os

import keras
import numpy as np
import pytest

from icnet.base.errors import ModelError, OutputError
from icnet.training.checkpoint import Progress, load_checkpoint, save_checkpoint

PATTERNS = {
    "float32": np.array([0x7FC00001, 0x80000000, 0x00000001, 0x3F9D70A4], np.uint32),  # a NaN with payload, -0, a denormal
    "float16": np.array([0x7E01, 0x8000, 0x0001, 0x3C01], np.uint16),
    "bfloat16": np.array([0x7FC1, 0x8000, 0x0001, 0x3F81], np.uint16),
    "uint8": np.array([0, 1, 2, 255], np.uint8),
    "bool": np.array([0, 1, 1, 0], np.uint8),
    "int32": np.array([1, 1 << 31, 7, 0], np.uint32),
}
"""Type of a variable to the bits of its values."""
if keras.backend.backend() == "torch":
    del PATTERNS["bfloat16"]  # `convert_to_numpy` widens it there


def variables() -> dict[str, keras.Variable]:
    zeros = {f"{dtype}": keras.Variable(np.zeros((2, 2)), dtype=dtype, trainable=False) for dtype in PATTERNS}
    return zeros | {"scalar": keras.Variable(0, dtype="int64", trainable=False)}


def test_every_type_comes_back_bit_by_bit(tmp_path):
    saved = variables()
    for dtype, bits in PATTERNS.items():
        value = keras.ops.convert_to_numpy(saved[dtype])
        saved[dtype].assign(bits.view(value.dtype).reshape(2, 2))
    saved["scalar"].assign(1 << 40)
    progress = Progress(step=5, seconds=0.1 + 0.2, best_miou=1 / 3, losses=(0.1, 1e-300, 2 / 3))
    save_checkpoint(tmp_path / "run" / "c.safetensors", saved, progress, {"seed": 1})
    loaded = variables()
    assert load_checkpoint(tmp_path / "run" / "c.safetensors", loaded, {"seed": 1}) == progress
    for dtype, bits in PATTERNS.items():
        value = keras.ops.convert_to_numpy(loaded[dtype])
        assert value.dtype.name == dtype
        assert value.tobytes() == bits.tobytes(), dtype
    assert int(keras.ops.convert_to_numpy(loaded["scalar"])) == 1 << 40
    assert loaded["scalar"].shape == ()
    assert os.listdir(tmp_path / "run") == ["c.safetensors"]


def test_the_step_of_the_last_line_of_the_log():
    assert Progress(step=9, losses=(1.0, 2.0)).reported == 7


@pytest.mark.parametrize("value", [np.zeros((2, 3), "float32"), np.zeros((2, 2), "float16")])
def test_another_shape_or_type_is_refused_and_changes_nothing(value, tmp_path):
    state = {"a": keras.Variable(np.ones((2, 2)), dtype="float32"), "b": keras.Variable(value, dtype=value.dtype)}
    save_checkpoint(tmp_path / "c.safetensors", state, Progress(step=1), {})
    other = {"a": keras.Variable(np.zeros((2, 2))), "b": keras.Variable(np.zeros((2, 2)), dtype="float32")}
    with pytest.raises(ModelError, match="does not fit the network"):
        load_checkpoint(tmp_path / "c.safetensors", other, {})
    assert not keras.ops.convert_to_numpy(other["a"]).any()


def test_it_names_the_options_that_differ(tmp_path):
    save_checkpoint(tmp_path / "c.safetensors", {}, Progress(), {"recipe": {"rate": 0.1, "crop": (1, 2)}, "data": "x"})
    load_checkpoint(tmp_path / "c.safetensors", {}, {"recipe": {"rate": 0.1, "crop": (1, 2)}, "data": "x"})
    with pytest.raises(ModelError, match=r"recipe\.rate was 0\.1, is 0\.2, recipe\.seed was None, is 3; use the same"):
        load_checkpoint(tmp_path / "c.safetensors", {}, {"recipe": {"rate": 0.2, "crop": (1, 2), "seed": 3}, "data": "x"})


def test_a_failed_write_keeps_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {}, Progress(step=1), {})
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(path, {}, Progress(step=2), {})
    assert load_checkpoint(path, {}, {}).step == 1
    assert os.listdir(tmp_path) == ["c.safetensors"]


def test_a_torn_file_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    state = {"a": keras.Variable(np.ones(64))}
    save_checkpoint(path, state, Progress(step=1), {})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ModelError, match="not a readable checkpoint"):
        load_checkpoint(path, state, {})


def test_progress_is_json_without_loss():
    progress = Progress(step=1, losses=(1 / 3,))
    assert json.loads(json.dumps(progress.__dict__))["losses"] == [1 / 3]
