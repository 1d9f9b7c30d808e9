import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from camvid_folder import camvid_folder
from tiny_network import SMALL
from typer.testing import CliRunner

from icnet.base.errors import DataError, ModelError, UsageError
from icnet.cli.export import export
from icnet.evaluation import reference
from icnet.network.spec import DEFAULT_MODEL
from icnet.network.stored import read_stored
from icnet.network.weights import kernel_zeros, load_weights, random_weights, save_weights
from icnet.runtime.ir import read_about, read_ir

app = typer.Typer()
app.command()(export)


@pytest.fixture
def weights(tmp_path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, random_weights(SMALL, seed=4))
    return path


def pictures(folder: Path, count: int) -> Path:
    """A CamVid folder whose picture i has the brightness i everywhere."""
    names = [f"{index}.png" for index in range(count)]
    for kind, shape in (("val", (36, 48, 3)), ("valannot", (36, 48))):
        (folder / kind).mkdir(parents=True)
        for index, name in enumerate(names):
            cv2.imwrite(str(folder / kind / name), np.full(shape, index, np.uint8))
    (folder / "val.txt").write_text("\n".join(f"val/{name} valannot/{name}" for name in names))
    return folder


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_exports_on_synthetic_streets(weights, tmp_path):
    pytest.importorskip("keras")
    result = run(weights, "-o", tmp_path / "out", "--precision", "fp32")
    assert result.exit_code == 0, (result.output, result.exception)
    assert (tmp_path / "out" / "tiny" / "FP32" / "tiny.xml").is_file()
    assert (tmp_path / "out" / "tiny-soft" / "FP32" / "tiny-soft.xml").is_file()
    assert not (tmp_path / "out" / "tiny" / "FP16").exists()
    assert "index" in result.stdout
    assert "soft" in result.stdout
    assert f"{kernel_zeros(load_weights(weights)):,} zeros" in result.stdout


def test_exports_compared_with_keras_on_tensorflow(weights, tmp_path):
    pytest.importorskip("tensorflow")
    command = [sys.executable, "-m", "icnet", "export", str(weights), "-o", str(tmp_path / "out"), "--precision", "fp32"]
    done = subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "tensorflow"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "tiny" / "FP32" / "tiny.xml").is_file()


def test_exports_on_the_given_pictures(weights, tmp_path, monkeypatch):
    pytest.importorskip("keras")
    data = pictures(tmp_path / "data", 9)
    seen = []
    infer = reference.KerasNetwork.infer
    monkeypatch.setattr(reference.KerasNetwork, "infer", lambda self, data: seen.append(data.mean()) or infer(self, data))
    result = run(weights, "-o", tmp_path / "out", "--name", "mine", "--precision", "fp32", "--data", data)
    assert result.exit_code == 0, (result.output, result.exception)
    assert seen == [0, 2, 4, 6], "four pictures, spread over the split"
    assert (tmp_path / "out" / "mine" / "model.yml").is_file()


def test_mistakes(weights, tmp_path):
    out = tmp_path / "out"
    for arguments, kind, text in (
        ((tmp_path / "a.xml", "-o", out), UsageError, "exported already"),
        ((weights, "-o", out, "--data", tmp_path / "none"), DataError, "val.txt"),
        ((DEFAULT_MODEL, "-o", out), UsageError, "exported already"),
        ((weights, "-o", out, "--precision", "int8"), UsageError, "--data"),
        ((weights, "-o", out, "--max-drop", "1"), UsageError, "--max-drop is for --precision int8"),
        ((weights, "-o", out, "--seed", "1", "--data", tmp_path), UsageError, "--seed is for --precision int8"),
    ):
        result = run(*arguments)
        assert isinstance(result.exception, kind)
        assert text in str(result.exception)
    assert not out.exists()


def test_without_keras(weights, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    result = run(weights, "-o", tmp_path / "out", "--data", pictures(tmp_path / "data", 1))
    assert isinstance(result.exception, UsageError)
    assert "icnet[export]" in str(result.exception)
    assert not (tmp_path / "out").exists()


def labelled(folder: Path) -> Path:
    return camvid_folder(folder, train=5, val=3)


def test_eight_bits_with_a_guard(weights, tmp_path):
    pytest.importorskip("keras")
    pytest.importorskip("nncf")
    out = tmp_path / "out"
    options = ("--precision", "int8", "--kind", "logits", "--data", labelled(tmp_path / "data"), "--images", "3", "--seed", "7")
    result = run(weights, "-o", out, *options, "--max-drop", "100")
    assert result.exit_code == 0, (result.output, result.exception)
    first, second = result.stdout.splitlines()
    assert first.startswith("strict mIoU on val ")
    assert "points lost" in first
    assert second.startswith(str(out / "tiny-logits" / "FP16-INT8" / "tiny-logits.xml"))
    assert [path.name for path in out.iterdir()] == ["tiny-logits"]
    told = read_about(read_ir(read_stored(out / "tiny-logits" / "FP16-INT8" / "tiny-logits.xml")))["quantization"]
    assert (told["images"], told["of"], told["seed"]) == (3, 5, 7)


def test_a_missed_guard_writes_nothing(weights, tmp_path, monkeypatch):
    pytest.importorskip("nncf")

    def refuse(*_, **__):
        raise ModelError("too much lost: nothing was written")

    monkeypatch.setattr("icnet.deploy.quantize.quantize", refuse)
    result = run(weights, "-o", tmp_path / "out", "--precision", "int8", "--data", labelled(tmp_path / "data"))
    assert isinstance(result.exception, ModelError)
    assert not (tmp_path / "out").exists()
