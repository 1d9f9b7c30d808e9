import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import key_pair
from tiny_network import SMALL

from icnet import cli
from icnet.base.errors import ModelError
from icnet.hub.manifest import MANIFEST, describe
from icnet.hub.signing import sign
from icnet.network import registry
from icnet.network.verify import verify, verify_all
from icnet.network.weights import random_weights, save_weights


def flip(path: Path, place: int = -100) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def states(*models: str, key: Path | None = None) -> dict[str, str]:
    return {check.file: check.state for model in models for check in verify(model, key)}


@pytest.fixture
def bundled(tmp_path, monkeypatch) -> Path:
    """A copy of some bundled files in place of all of them."""
    for name in ("icnet-lite-int8.xml", "icnet-lite-int8.bin", "icnet-lite.safetensors"):
        shutil.copy(registry.FOLDER / name, tmp_path)
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    monkeypatch.setenv("ICNET_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def folder(tmp_path) -> Path:
    """What a push would write, without OpenVINO models."""
    path = tmp_path / "pushed"
    save_weights(path / "tiny.safetensors", random_weights(SMALL))
    (path / "README.md").write_text("a card")
    (path / MANIFEST).write_text(describe(path, "tiny", {"weights": "tiny.safetensors"}).to_json())
    return path


@pytest.mark.parametrize("name", ["icnet-lite-int8.xml", "icnet-lite-int8.bin", "icnet-lite.safetensors"])
def test_a_flipped_byte_in_a_bundled_file_is_found(bundled, name, capsys):
    assert {check.model for check in verify_all() if check.state == "good"} == {"icnet-lite", "icnet-lite-int8"}
    assert cli.run(["verify"]) == 0
    assert "not here" in capsys.readouterr().out
    flip(bundled / name)
    assert cli.run(["verify", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (bad,) = [check for check in document["checks"] if check["state"] == "bad"]
    assert not document["good"]
    assert bad["model"] == ("icnet-lite" if name.endswith("s") else "icnet-lite-int8")
    assert "install icnet again" in bad["advice"]
    assert cli.run(["verify", bad["model"]]) == 1
    assert cli.run(["verify", "icnet-camvid-ava-sparse-60-0001"]) == 2, "asked for, and not here"


@pytest.mark.parametrize("name", ["icnet-lite-int8.xml", "icnet-lite.safetensors"])
def test_a_copy_of_a_bundled_file_is_known_by_its_name(tmp_path, name):
    for path in registry.FOLDER.glob(f"{Path(name).stem}.*"):
        shutil.copy(path, tmp_path)
    assert states(str(tmp_path / name)) == {name: "good"}
    flip(tmp_path / name)
    assert states(str(tmp_path / name)) == {name: "bad"}


def test_a_file_is_known_by_the_digest_inside_or_beside_it(tmp_path, capsys):
    path = tmp_path / "w.safetensors"
    digest = save_weights(path, random_weights(SMALL))
    assert states(str(path)) == {path.name: "good"}
    (tmp_path / "w.safetensors.sha256").write_text(f"{digest}  w.safetensors\n")
    assert [check.by for check in verify(str(path))] == ["w.safetensors.sha256"]
    flip(path)
    assert states(str(path)) == {path.name: "bad"}
    (tmp_path / "w.safetensors.sha256").unlink()
    assert states(str(path)) == {path.name: "bad"}
    path.write_bytes(path.read_bytes().replace(b"icnet-sha256", b"icnet-sha255"))
    assert states(str(path)) == {path.name: "unknown"}
    assert cli.run(["verify", str(path)]) == 1
    assert "w.safetensors: it holds no digest" in capsys.readouterr().out


def test_a_folder_is_known_by_its_manifest(folder):
    assert states(str(folder)) == {"tiny.safetensors": "good", "README.md": "good"}
    flip(folder / "README.md", 0)
    assert states(str(folder)) == {"tiny.safetensors": "good", "README.md": "bad"}
    (folder / MANIFEST).write_text("{")
    assert states(str(folder)) == {MANIFEST: "bad"}
    (folder / MANIFEST).unlink()
    with pytest.raises(ModelError, match=r"holds no icnet\.json"):
        states(str(folder))


def test_pulled_files_are_compared_with_their_manifest(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ICNET_CACHE", str(tmp_path / "cache"))
    commit = "a" * 40
    snapshot = tmp_path / "cache" / "hub" / "models--me--street" / "snapshots" / commit
    shutil.copytree(folder, snapshot)
    (snapshot / "README.md").unlink()  # a program does not pull it
    assert states("hf://me/street") == {"tiny.safetensors": "good"}
    assert states(f"hf://me/street@{commit}") == {"tiny.safetensors": "good"}
    flip(snapshot / "tiny.safetensors")
    (bad,) = [check for check in verify_all() if check.state == "bad"]
    assert bad.model == f"hf://me/street@{commit}"
    assert bad.advice == f"delete {snapshot.parents[1]} and pull it again"
    with pytest.raises(ModelError, match="was not pulled to this machine"):
        states("hf://me/other")


def test_wrong_use_is_one_line(folder, tmp_path, monkeypatch, capsys):
    for arguments, line in (
        (["verify", "nonsense"], "unknown model 'nonsense'"),
        (["verify", str(tmp_path / "none.xml")], "no model file at"),
        (["verify", "--key", "k.pub"], "--key is for models that are signed"),
        (["verify", "icnet-lite", "--key", "k.pub"], "has no signature of its own"),
    ):
        assert cli.run(arguments) == 2
        assert line in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "model_signing", None)
    monkeypatch.setitem(sys.modules, "model_signing.verifying", None)
    assert cli.run(["verify", str(folder), "--key", "k.pub"]) == 2
    assert "run pip install 'icnet[signing]'" in capsys.readouterr().err


def test_a_signature_holds_for_all_files_and_one_key(folder, tmp_path, capsys):
    pytest.importorskip("model_signing")
    (private, public), (_, other) = key_pair(tmp_path, "mine"), key_pair(tmp_path, "other")
    assert states(str(folder), key=public)["all files"] == "bad", "not signed"
    sign(folder, private)
    assert cli.run(["verify", str(folder), "--key", str(public)]) == 0
    command = [*("verify", "key", str(folder), "--signature", str(folder / "model.sig")), "--public_key", str(public)]
    assert not subprocess.run([sys.executable, "-m", "model_signing", *command]).returncode, "others can check it too"
    assert states(str(folder), key=other)["all files"] == "bad"
    for change in (
        lambda: (folder / "README.md").write_text("another card"),
        lambda: (folder / "new.bin").write_text("x"),
        lambda: (folder / "README.md").unlink(),
        lambda: (folder / "model.sig").write_text("{}"),
    ):
        saved = {path: path.read_bytes() for path in folder.iterdir()}
        change()
        assert states(str(folder), key=public)["all files"] == "bad"
        for path in folder.iterdir():
            path.unlink()
        for path, data in saved.items():
            path.write_bytes(data)
    assert states(str(folder), key=public)["all files"] == "good"
    for key in (tmp_path / "none.pub", folder / "README.md", private):
        assert cli.run(["verify", str(folder), "--key", str(key)]) == 2
        assert "cannot be used as a public key" in capsys.readouterr().err
