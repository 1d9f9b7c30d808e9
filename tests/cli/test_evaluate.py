import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from tiny_network import SMALL
from typer.testing import CliRunner

from icnet.base.classes import CAMVID
from icnet.base.errors import DataError, OutputError, UsageError
from icnet.cli.evaluate import evaluate
from icnet.data import splits
from icnet.data.camvid import CamVid
from icnet.deploy.openvino import save_ir
from icnet.evaluation import accuracy
from icnet.network.openvino_model import openvino_model
from icnet.network.weights import random_weights, save_weights
from icnet.runtime.engine import Engine
from icnet.street.drive import StreetSet

app = typer.Typer()
app.command()(evaluate)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Weights, both IRs, and a `val` split of three made-up pictures with the labels 0 to 10 only."""
    root = tmp_path_factory.mktemp("evaluate")
    weights = random_weights(SMALL, seed=4)
    save_weights(root / "tiny.safetensors", weights)
    for output in ("index", "soft"):
        save_ir(openvino_model(weights, output=output), root / f"{output}.xml", {}, CAMVID)
    generator = np.random.default_rng(0)
    lines = []
    for kind in ("val", "valannot"):
        (root / "data" / kind).mkdir(parents=True)
    for index in range(3):
        image, labels = generator.integers(0, 256, (36, 48, 3)), np.sort(generator.integers(0, 11, (36, 48)))
        cv2.imwrite(str(root / "data" / "val" / f"{index}.png"), image.astype(np.uint8))
        cv2.imwrite(str(root / "data" / "valannot" / f"{index}.png"), labels.astype(np.uint8))
        lines.append(f"/SegNet/CamVid/val/{index}.png /SegNet/CamVid/valannot/{index}.png")
    (root / "data" / "val.txt").write_text("\n".join(lines))
    return root


def run(folder: Path, *arguments: str):
    return CliRunner().invoke(app, ["--data", str(folder / "data"), "--model", str(folder / "tiny.safetensors"), *arguments])


def document(folder: Path, *arguments: str) -> dict:
    result = run(folder, "--json", "--no-picture", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_holds_the_figures_of_the_library(folder):
    found = document(folder)
    dataset = CamVid(folder / "data", "val")
    result = accuracy.evaluate((dataset[index] for index in range(3)), Engine(folder / "tiny.safetensors"))
    expected = result.scores
    low, high = found["interval_95"]
    assert low < found["miou_strict"] < high
    assert (found["interval_over"], found["absent"]) == ("pictures", [])
    assert found["boundary_miou"] == result.boundary_miou > 0
    assert found["ece"] == result.reliability.error > 0
    assert list(found) == [
        "model",
        "split",
        "images",
        "miou_strict",
        "miou_omz",
        "iou",
        "pixel_accuracy",
        "given_up",
        "void_found",
        "absent",
        "interval_95",
        "interval_over",
        "boundary_miou",
        "boundary_iou",
        "boundary_ratio",
        "ece",
    ]
    assert found["split"] == "val"
    assert found["images"] == 3
    assert found["miou_strict"] == expected.miou_strict > 0
    assert found["miou_omz"] == expected.miou_omz >= found["miou_strict"]
    assert found["pixel_accuracy"] == expected.pixel_accuracy
    assert list(found["iou"]) == list(CAMVID.names[:11])
    assert found["iou"] == expected.iou


def test_against_another_model(folder):
    found = document(folder, "--against", str(folder / "tiny.safetensors"))["against"]
    assert (found["difference"], found["interval_95"], found["better"], found["worse"]) == (0, [0, 0], {}, {})
    save_weights(folder / "other.safetensors", random_weights(SMALL, seed=5))
    other = str(folder / "other.safetensors")
    found, alone = document(folder, "--against", other), document(folder, "--model", other)
    against = found["against"]
    assert against["miou_strict"] == alone["miou_strict"]
    assert against["difference"] == pytest.approx(found["miou_strict"] - alone["miou_strict"])
    assert against["classes"]["Road"]["difference"] == pytest.approx(found["iou"]["Road"] - alone["iou"]["Road"])
    assert len(against["better"]) + len(against["worse"]) == 3
    text = run(folder, "--no-picture", "--against", other).stdout
    assert "IoU Road" in text.split("above")[1]
    assert "may be luck" in text or "worse" in text or "better" in text


def test_abstaining_gives_up_the_pixels_it_is_not_sure_of(folder):
    plain, shy, mute = (document(folder, "--abstain", least) for least in ("0", "0.5", "1"))
    assert plain["given_up"] < shy["given_up"] < mute["given_up"]
    assert shy["miou_omz"] > shy["miou_strict"]
    assert mute["miou_strict"] < plain["miou_strict"]
    assert plain["void_found"] is None  # every pixel has a label


@pytest.mark.parametrize("output", ["index", "soft"])
def test_either_ir_scores_as_the_weights_do(folder, output):
    expected, found = document(folder), document(folder, "--model", str(folder / f"{output}.xml"))
    assert found["pixel_accuracy"] == pytest.approx(expected["pixel_accuracy"], abs=0.01)  # other resize before the argmax
    assert found["miou_strict"] == pytest.approx(expected["miou_strict"], abs=0.01)


def test_keras_scores_as_openvino_does(folder):
    pytest.importorskip("keras")
    expected, found = document(folder), document(folder, "--engine", "keras")
    assert found["pixel_accuracy"] == pytest.approx(expected["pixel_accuracy"], abs=1e-4)
    assert found["iou"] == pytest.approx(expected["iou"], abs=1e-4)


def test_a_class_that_never_occurs_is_null(folder, tmp_path):
    for kind, value in (("val", 90), ("valannot", 11)):
        (tmp_path / kind).mkdir()
        cv2.imwrite(str(tmp_path / kind / "a.png"), np.full((36, 48) if value == 11 else (36, 48, 3), value, np.uint8))
    (tmp_path / "val.txt").write_text("val/a.png valannot/a.png\n")
    result = run(folder, "--json", "--no-picture", "--data", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["miou_strict"] is None
    assert set(json.loads(result.stdout)["iou"].values()) == {None}


def test_table_and_picture(folder, tmp_path):
    result = run(folder, "--picture", str(tmp_path / "matrix.png"))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    strict, omz = (next(i for i, line in enumerate(lines) if rule in line) for rule in ("strict rule", "Open Model Zoo rule"))
    assert strict < omz
    assert all(name in result.stdout for name in CAMVID.names[:11])
    assert cv2.imread(str(tmp_path / "matrix.png")) is not None


def test_a_report_beside_the_figures(folder, tmp_path):
    result = run(folder, "--json", "--no-picture", "--report", str(tmp_path / "report.html"))
    assert result.exit_code == 0, result.output
    text = (tmp_path / "report.html").read_text()
    assert f"{100 * json.loads(result.stdout)['miou_strict']:.2f} %" in text
    assert text.count("<figure>") == 3
    assert "SHA-256" in text


def test_calibrated_weights_are_less_wrong_about_themselves(folder, tmp_path):
    path = tmp_path / "calibrated.safetensors"
    before = document(folder, "--calibrate", str(path))
    after = document(folder, "--model", str(path))
    assert after["ece"] < before["ece"]
    assert after["miou_strict"] == pytest.approx(before["miou_strict"], abs=1e-3)


def test_without_matplotlib_there_are_figures_and_a_line(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    result = run(folder, "--json", "--picture", str(tmp_path / "matrix.png"))
    assert json.loads(result.stdout)["images"] == 3
    assert "icnet[plot]" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_picture_that_cannot_be_written_does_not_cost_the_figures(folder, tmp_path):
    (tmp_path / "file").write_text("x")
    result = run(folder, "--json", "--picture", str(tmp_path / "file" / "matrix.png"))
    assert isinstance(result.exception, OutputError)
    assert json.loads(result.stdout)["images"] == 3


def test_scores_the_synthetic_street(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        splits, "StreetSet", lambda count, seed, size_hw: asked.append((count, seed)) or StreetSet(2, seed, (60, 80))
    )
    found = document(folder, "--data", "street", "--split", "test")
    assert asked == [(101, 3)]
    expected = accuracy.evaluate(StreetSet(2, 3, (60, 80)), Engine(folder / "tiny.safetensors"))
    assert found["images"] == 2
    assert found["pixel_accuracy"] == expected.scores.pixel_accuracy


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (["--data", "nowhere"], DataError, "nowhere"),
        (["--data", "street", "--split", "best"], DataError, "train, val, test"),
        (["--picture", "matrix.xyz"], UsageError, "png"),
        (["--calibrate", "x.safetensors", "--model", "m.xml"], UsageError, "only weights are calibrated"),
        (["--engine", "keras", "--model", "m.xml"], UsageError, "--engine openvino"),
    ],
)
def test_mistakes_are_told_before_any_work(folder, arguments, kind, text):
    result = run(folder, *arguments)
    assert isinstance(result.exception, kind)
    assert text in str(result.exception)
