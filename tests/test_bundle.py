import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from camvid_folder import camvid_folder

from icnet.network.stored import read_stored
from icnet.network.weights import Weights, load_weights, random_weights, save_weights
from icnet.runtime.engine import Engine
from icnet.runtime.facts import model_facts

HISTORY = [{"recipe": {"initial": "imagenet", "package": "some-model"}}, {"recipe": {"initial": "a.safetensors"}}]

TOOL = runpy.run_path(str(Path(__file__).resolve().parents[1] / "tools" / "bundle.py"))


@pytest.fixture
def camvid(tmp_path) -> Path:
    """A CamVid folder with three training and two validation pictures."""
    return camvid_folder(tmp_path / "camvid", train=3, val=2)


@pytest.fixture
def trained(tmp_path, tiny) -> Path:
    """Weights of which most kernels are half zeros."""
    generator = np.random.default_rng(0)
    tensors = {
        name: array * (generator.random(array.shape) < 0.5).astype(np.float32) if name.endswith("kernel") else array
        for name, array in random_weights(tiny).tensors.items()
    }
    about = {"recipe": {"epochs": 7}, "miou_strict": 0.99, "history": HISTORY}
    save_weights(tmp_path / "best.safetensors", Weights(tiny, tensors, about))
    return tmp_path / "best.safetensors"


def run(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["bundle.py", *map(str, arguments)])
    TOOL["main"]()


def test_figures_terms_and_report(camvid, trained, tmp_path, monkeypatch, capsys):
    run(monkeypatch, trained, "--data", camvid, "--to", tmp_path / "out")
    target = tmp_path / "out" / "tiny.safetensors"
    out, source, made = capsys.readouterr().out, load_weights(trained), load_weights(target)
    assert all((made.tensors[name] == array).all() for name, array in source.tensors.items())
    assert made.about["recipe"] == {"epochs": 7}
    assert 0 <= made.about["miou_strict"] < 0.99, "scored anew"
    assert made.about["data"].endswith("train split (3 images); val only chose the epoch")
    assert made.about["scored"] == "CamVid val (2 images)"
    assert made.about["pretrained"] == "the trunk, on ImageNet: some-model (Apache-2.0)"
    facts = model_facts(str(target))
    for text in (
        read_stored(target).sha256,
        f"{target.stat().st_size:,} bytes",
        f"| zeros among them | {facts.kernel_zeros:,} (",
        f"| strict | {100 * made.about['miou_strict']:.2f} %",
        "| Road | ",
        "loads in ",
    ):
        assert text in out


def test_training_on_more_is_told(camvid, trained, tmp_path, monkeypatch, capsys):
    run(monkeypatch, trained, "--data", camvid, "--to", tmp_path / "out", "--trained-on", "train", "val")
    about = load_weights(tmp_path / "out" / "tiny.safetensors").about
    assert about["data"].endswith("train split (3 images) and val split (2 images)")
    assert about["scored"] == "CamVid val (2 images, which it was trained on too)"


def test_mistakes_are_one_line(camvid, trained, tmp_path, tiny, monkeypatch, capsys):
    save_weights(tmp_path / "random.safetensors", random_weights(tiny))
    for arguments, text in (
        ((tmp_path / "random.safetensors",), "was not trained"),
        ((trained, "--score-on", "test"), "no test.txt"),
        ((tmp_path / "none.safetensors",), "no model file"),
    ):
        with pytest.raises(SystemExit) as caught:
            run(monkeypatch, *arguments, "--data", camvid, "--to", tmp_path / "out")
        assert caught.value.code == 2
        assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_quantized_model_lies_beside_the_weights(camvid, trained, tmp_path, monkeypatch, capsys):
    pytest.importorskip("nncf")
    run(monkeypatch, trained, "--data", camvid, "--to", tmp_path / "out", "--int8", "--max-drop", "100")
    out, target = capsys.readouterr().out, tmp_path / "out" / "tiny-int8.xml"
    names = ["tiny-int8.bin", "tiny-int8.xml", "tiny.safetensors"]
    assert sorted(path.name for path in target.parent.iterdir()) == names
    engine, facts = Engine(target), model_facts(str(target))
    assert engine.output == "logits"
    assert f'"tiny-int8": "{facts.sha256}",' in out
    assert "calibrated on | 3 of 3 train images" in out
    assert facts.about["licence"].startswith("CC BY-NC")
