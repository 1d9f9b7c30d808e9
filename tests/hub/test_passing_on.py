"""A model is pushed to a stand-in of a hub and pulled from there."""

import json
import shutil
import sys

import numpy as np
import pytest
from hub_server import Hub, hub_server, key_pair
from tiny_network import SMALL

pytest.importorskip("huggingface_hub")

from icnet import Segmenter, cli
from icnet.base.classes import CAMVID
from icnet.base.errors import ModelError
from icnet.deploy.openvino import save_ir
from icnet.hub.pull import pull, pulled_models
from icnet.hub.signing import sign
from icnet.network.openvino_model import openvino_model
from icnet.network.registry import find_weights
from icnet.network.weights import Weights, random_weights, save_weights

ADDRESS = "hf://me/street"
ABOUT = {"miou_strict": 0.5, "miou_omz": 0.6, "scored": "street val (9 images)", "recipe": {"initial": "icnet-lite"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, with a model in eight bits."""
    folder = tmp_path_factory.mktemp("run")
    weights = Weights(SMALL, random_weights(SMALL).tensors, ABOUT)
    save_weights(folder / "best.safetensors", weights)
    save_ir(openvino_model(weights), folder / "best-int8.xml", {}, CAMVID)
    return folder


@pytest.fixture(scope="module")
def pushed(run):
    """A hub to which the run was pushed, once."""
    with hub_server() as hub:
        assert cli.run(["push", str(run), ADDRESS]) == 0
        yield hub


@pytest.fixture
def hub(pushed, tmp_path, monkeypatch) -> Hub:
    """The same with an empty cache here; what a test changes there is undone."""
    monkeypatch.setenv("ICNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pushed, "repos", {repo: list(commits) for repo, commits in pushed.repos.items()})
    pushed.calls.clear()
    return pushed


def changed(hub: Hub, name: str, data: bytes) -> None:
    hub.commit("me/street", hub.files("me/street")[1] | {name: data})


def got(hub: Hub) -> list[str]:
    return [call.rsplit("/", 1)[-1] for call in hub.calls if call.startswith("GET")]


def test_what_is_pushed_is_complete(hub):
    _, files = hub.files("me/street")
    models = {f"tiny-{kind}{suffix}" for kind in ("int8", "logits", "index", "soft") for suffix in (".xml", ".bin")}
    assert set(files) == models | {"tiny.safetensors", "classes.json", "README.md", "icnet.json", ".gitattributes"}
    card = files["README.md"].decode()
    for line in (
        "license: cc-by-nc-4.0",
        "pipeline_tag: image-segmentation",
        "library_name: icnet",
        "value: 0.5",
        "name: street val (9 images)",
        "**not for commercial use**",
        f"--model {ADDRESS}",
    ):
        assert line in card
    assert len(json.loads(files["classes.json"])["names"]) == 12
    assert set(json.loads(files["icnet.json"])["files"]) == set(files) - {"icnet.json", ".gitattributes"}


def test_a_pulled_model_segments_like_the_one_that_was_pushed(hub, run, frames):
    expected = Segmenter(run / "best.safetensors")(frames[0]).classes
    np.testing.assert_array_equal(Segmenter(ADDRESS)(frames[0]).classes, expected)
    assert got(hub) == ["icnet.json", "tiny-int8.xml", "tiny-int8.bin"], "only what is needed"
    np.testing.assert_array_equal(Segmenter(f"{ADDRESS}/tiny.safetensors")(frames[0]).classes, expected)


def test_weights_are_pulled_to_go_on_from_and_tell_where_they_came_from(hub):
    commit, _ = hub.files("me/street")
    weights = find_weights(ADDRESS)
    assert weights.about["origin"] == f"{ADDRESS}@{commit}"
    assert weights.about["licence"].startswith("CC BY-NC")
    assert got(hub) == ["icnet.json", "tiny.safetensors"]


def test_a_commit_stays_what_it_is_and_asks_nobody(hub, capsys):
    commit, _ = hub.files("me/street")
    pull(ADDRESS)
    changed(hub, "icnet.json", b"broken")
    hub.calls.clear()
    assert cli.run(["info", f"{ADDRESS}@{commit}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pulled"] == f"{ADDRESS}@{commit}"
    assert hub.calls == []
    with pytest.raises(ModelError, match=r"icnet\.json of hf://me/street cannot be used"):
        pull(ADDRESS)


def test_without_a_network_the_cache_is_used_and_one_line_says_so(hub, monkeypatch, caplog):
    address = pull(ADDRESS).address
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert pull(ADDRESS).address == address
    assert [record.getMessage() for record in caplog.records if record.name.startswith("icnet")] == [
        f"icnet: using {address}, pulled before: the hub cannot be reached ([Errno 111] Connection refused)"
    ]
    with pytest.raises(ModelError, match=r"cannot be reached \(.*\), and tiny\.safetensors of it was not pulled before"):
        pull(ADDRESS, ("weights",))
    with pytest.raises(ModelError, match=r"hf://me/other cannot be reached \(.*\), and icnet\.json"):
        pull("hf://me/other")


def test_who_wants_to_be_offline_is(hub, monkeypatch, caplog):
    pull(ADDRESS)
    hub.calls.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # which the variable sets at the import
    pull(ADDRESS)
    assert hub.calls == []
    assert "pulled before" in caplog.text


@pytest.mark.parametrize("name", ["tiny-int8.xml", "tiny-int8.bin"])
def test_a_tampered_file_is_refused(hub, name):
    data = bytearray(hub.files("me/street")[1][name])
    data[len(data) // 2] ^= 1
    changed(hub, name, bytes(data))
    for _ in range(2):  # from the cache as well
        with pytest.raises(ModelError, match=rf"{name} of hf://me/street@\w+ is not what its manifest says"):
            Segmenter(ADDRESS)


def test_a_manifest_that_leaves_its_folder_is_refused(hub, tmp_path):
    manifest = json.loads(hub.files("me/street")[1]["icnet.json"])
    manifest["files"] = {f"../../{name}": entry for name, entry in manifest["files"].items()}
    manifest["models"] = {kind: f"../../{name}" for kind, name in manifest["models"].items()}
    changed(hub, "icnet.json", json.dumps(manifest).encode())
    with pytest.raises(ModelError, match="only plain names"):
        pull(ADDRESS)
    assert got(hub) == ["icnet.json"]


@pytest.mark.parametrize(("name", "size"), [("icnet.json", 2 << 20), ("tiny-int8.bin", 1 << 20)])
def test_a_file_larger_than_expected_is_not_pulled(hub, name, size):
    changed(hub, name, bytes(size))
    with pytest.raises(ModelError, match=rf"{name} of hf://me/street.* has {size} bytes, and .* not pulled"):
        pull(ADDRESS)
    assert name not in got(hub)


def test_what_is_no_model_is_one_line(hub, capsys):
    hub.commit("me/else", {"config.json": b"{}"})
    for model, line in (
        ("hf://me/none", "there is no model hf://me/none, or it is not yours to see"),
        (f"{ADDRESS}@v9", "there is no revision v9 of it"),
        ("hf://me/else", "has no file icnet.json, so it holds no model of icnet"),
        ("ftp://me/x", "models do not come from ftp://"),
    ):
        assert cli.run(["info", model]) == 2
        err = capsys.readouterr().err
        assert line in err
        assert err.count("\n") == 1


def test_without_the_package_or_a_cache_folder_a_line_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setenv("ICNET_CACHE", "")
    assert cli.run(["info", ADDRESS]) == 2
    assert "set ICNET_CACHE to a folder" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for command in (["info", ADDRESS], ["push", "icnet-lite", ADDRESS]):
        assert cli.run(command) == 2
        assert capsys.readouterr().err.endswith("which is not installed: run pip install 'icnet[hub]'\n")


def test_pulled_models_are_listed(hub):
    assert list(pulled_models()) == []
    pulled = pull(ADDRESS)
    assert list(pulled_models()) == [(pulled.address, pulled.folder)]


def test_pushing_again_replaces_what_was_there(hub, run, tmp_path, capsys):
    shutil.copy(run / "best.safetensors", tmp_path)  # without the model in eight bits
    assert cli.run(["push", str(tmp_path / "best.safetensors"), ADDRESS, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    commit, files = hub.files("me/street")
    assert document["address"] == f"{ADDRESS}@{commit}"
    assert "tiny-int8.xml" not in files
    assert "tiny-index.xml" in files


def test_pushing_is_refused_where_it_would_do_harm(hub, run, tmp_path, tiny, capsys):
    hub.commit("me/else", {"config.json": b"{}"})
    save_weights(tmp_path / "own.safetensors", Weights(SMALL, random_weights(SMALL).tensors, {"miou_strict": 0.5}))
    save_weights(tmp_path / "untrained.safetensors", random_weights(SMALL))
    other = tmp_path / "other"
    shutil.copytree(run, other)
    save_ir(openvino_model(random_weights(SMALL, seed=5)), other / "best-int8.xml", {}, CAMVID)
    for arguments, line in (
        ([str(run), "hf://me/else"], "holds something else than a model of icnet"),
        ([str(run), f"{ADDRESS}@v1"], "says more than where to push to"),
        ([str(tmp_path / "own.safetensors"), ADDRESS], "give --licence"),
        ([str(tmp_path / "untrained.safetensors"), ADDRESS], "was not trained"),
        ([str(tmp_path), ADDRESS], "holds no best.safetensors"),
        ([ADDRESS, ADDRESS], "cannot be pushed"),
        ([str(other), ADDRESS], "the int8 model changes the class of"),
        ([str(run), ADDRESS, "--int8"], "--int8 and --data go together"),
    ):
        commits = sum(map(len, hub.repos.values()))
        assert cli.run(["push", *arguments]) == 2
        assert line in capsys.readouterr().err
        assert sum(map(len, hub.repos.values())) == commits


def test_a_folder_can_be_written_without_pushing(hub, run, tmp_path):
    assert cli.run(["push", str(run), ADDRESS, "--to", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "icnet.json").is_file()
    assert cli.run(["verify", str(tmp_path / "out")]) == 0
    assert hub.calls == []


def test_a_signature_travels(hub, tmp_path, capsys):
    pytest.importorskip("model_signing")
    private, public = key_pair(tmp_path, "mine")
    for name, data in hub.files("me/street")[1].items():
        (tmp_path / "files" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_bytes(data)
    sign(tmp_path / "files", private)
    assert cli.run(["verify", ADDRESS, "--key", str(public)]) == 1
    assert "it is not signed" in capsys.readouterr().out
    changed(hub, "model.sig", (tmp_path / "files" / "model.sig").read_bytes())
    commit, _ = hub.files("me/street")
    assert cli.run(["verify", ADDRESS, "--key", str(public), "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {check["model"] for check in checks} == {f"{ADDRESS}@{commit}"}
    assert checks[-1]["file"] == "all files"
    assert len(checks) == 12, "all were pulled for that"
    changed(hub, "README.md", b"another card")
    assert cli.run(["verify", ADDRESS, "--key", str(public)]) == 2
    assert "README.md of hf://me/street@" in capsys.readouterr().err
