import json
import os
from pathlib import Path

import pytest

from icnet import cli
from icnet.base.classes import CAMVID
from icnet.deploy.openvino import save_ir
from icnet.network.graph import convolutions
from icnet.network.openvino_model import openvino_model
from icnet.network.weights import random_weights, save_weights
from icnet.runtime import facts


@pytest.fixture
def none_bundled(monkeypatch):
    monkeypatch.setattr(facts, "SHA256", {})


def test_document_of_a_model_without_weights(none_bundled, capsys):
    assert cli.run(["info", "icnet-camvid-ava-0001", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) | {"gflops": 0} == {
        "model": "icnet-camvid-ava-0001",
        "parameters": 26_704_140,
        "kernel_weights": 26_675_584,
        "kernel_zeros": None,
        "sparsity": None,
        "dense_kernel_weights": 26_675_584,
        "removed": 0.0,
        "gflops": 0,
        "bytes": None,
        "sha256": None,
        "size": {"height": 720, "width": 960},
        "classes": CAMVID.to_dict(),
    }


def test_default_model_and_plain_text(capsys):
    assert cli.run(["info"]) == 0
    out = capsys.readouterr().out
    assert "kernel_weights    4,570,848\n" in out
    assert "removed           82.9% of the kernel weights of icnet-camvid-ava-0001, 26,675,584\n" in out
    assert "answers_unlabeled yes\n" in out
    assert "size              720x960\n" in out
    assert "Vehicle, Pedestrian, Bike, Unlabeled (no label)\n" in out
    assert "stem " not in out


def test_table_of_layers(tiny, tmp_path, capsys):
    weights = random_weights(tiny)
    weights.tensors["stem1/kernel"][:] = 0
    save_weights(tmp_path / "w.safetensors", weights)
    assert cli.run(["info", str(tmp_path / "w.safetensors"), "--layers"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert rows["layer"] == ["kernel", "weights", "zeros", "share", "in", "out", "MFLOPs", "dense"]
    # 96x128 input, so stem1 writes 24x32 cells.
    assert rows["stem1"] == ["3x3x3x8", "216", "216", "100.00%", "3/3", "8/64", "0.3", "2.7"]
    assert set(rows) >= {conv.name for conv in convolutions(tiny)}


def test_table_without_weights_and_document_of_layers(none_bundled, capsys):
    assert cli.run(["info", "icnet-camvid-ava-sparse-60-0001", "--layers"]) == 0
    assert "classifier                1x1x256x12       3,072           -        -     256/256" in capsys.readouterr().out
    assert cli.run(["info", "icnet-camvid-ava-compact-60-0001", "--layers", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert layers[0]["name"] == "stem1"
    assert layers[0]["kernel_shape"] == [3, 3, 3, 32]
    assert layers[0]["dense_kernel_shape"] == [3, 3, 3, 64]
    assert sum(layer["kernel_weights"] for layer in layers) == 10_589_120


def test_document_of_a_file(tiny, tmp_path, capsys):
    digest = save_weights(tmp_path / "w.safetensors", random_weights(tiny))
    assert cli.run(["info", str(tmp_path / "w.safetensors"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sha256"] == digest
    assert document["sparsity"] == document["kernel_zeros"] / document["kernel_weights"]


def test_what_files_tell_does_not_steer_the_terminal(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = {"licence": "free\x1b]0;owned\x07\u202e", "data": {"deep": [1]}, "miou_omz": float("nan"), "miou_strict": 0.5}
    network = openvino_model(random_weights(tiny))
    for node in network.get_ordered_ops():
        if node.get_friendly_name() == "stem1":
            node.set_friendly_name("\x1b[2Jstem1")
    save_ir(network, Path("foreign.xml"), told, CAMVID)
    for suffix in (".xml", ".bin"):
        os.rename(f"foreign{suffix}", f"\x1b[31m{suffix}")
    assert cli.run(["info", "\x1b[31m.xml", "--layers"]) == 0
    out = capsys.readouterr().out
    assert set(out) - {"\n"} <= set(map(chr, range(32, 127)))
    assert "model             \\x1b[31m\n" in out
    assert r"free\x1b]0;owned\x07\u202e" in out
    assert r"\x1b[2Jstem1" in out
    assert cli.run(["info", "\x1b[31m.xml", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["miou_strict"] == 0.5
    assert not {"data", "miou_omz"} & document.keys()
