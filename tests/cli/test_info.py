import json

from icnet import cli
from icnet.base.weights import random_weights, save_weights


def test_document_of_a_model_without_weights(capsys):
    assert cli.run(["info", "icnet-camvid-ava-0001", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) | {"gflops": 0} == {
        "model": "icnet-camvid-ava-0001",
        "parameters": 26_704_140,
        "kernel_weights": 26_675_584,
        "kernel_zeros": None,
        "sparsity": None,
        "gflops": 0,
        "bytes": None,
        "sha256": None,
    }


def test_default_model_and_plain_text(capsys):
    assert cli.run(["info"]) == 0
    assert "kernel_weights 10,589,120\n" in capsys.readouterr().out


def test_document_of_a_file(tiny, tmp_path, capsys):
    digest = save_weights(tmp_path / "w.safetensors", random_weights(tiny))
    assert cli.run(["info", str(tmp_path / "w.safetensors"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sha256"] == digest
    assert document["sparsity"] == document["kernel_zeros"] / document["kernel_weights"]
