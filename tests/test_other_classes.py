"""A network of other classes than CamVid's, at another size, from training to a request."""

import csv
import dataclasses
import json

import cv2
import numpy as np
import pytest
import typer
from PIL import Image
from tiny_network import TINY
from typer.testing import CliRunner

from icnet import Segmenter, UsageError, segment_tiled
from icnet.base.classes import CAMVID, OUTSIDE, Classes
from icnet.base.sample import Sample
from icnet.cli.export import export
from icnet.cli.info import info
from icnet.cli.segment import segment
from icnet.evaluation.accuracy import check_classes, evaluate
from icnet.evaluation.charts import draw_confusion
from icnet.network.weights import load_weights, random_weights
from icnet.runtime.engine import Engine, EngineOptions
from icnet.runtime.facts import model_facts
from icnet.street.drive import StreetSet

TABLE = Classes(
    ("drivable area", "Sidewalk", "motor car", "Person", "all the rest"), palette=((9, 9, 9), *[(1, 2, 3)] * 3, (7, 8, 9))
)
"""Names with spaces, colours of its own, and no class for "no label"."""

FORMS = "classes,palette,colour,overlay,confidence,geojson,coco,rle"


class Bands:
    """Pictures of five bands, each of a class, with a corner that is none."""

    classes = TABLE

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        labels = np.repeat(np.arange(5, dtype=np.uint8), 12)[:, None].repeat(100, axis=1)
        labels = np.roll(labels, index, axis=0)
        labels[:6, :6] = OUTSIDE
        image = np.clip(40.0 * labels + 20, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
        return Sample(f"bands_{index}", image, labels)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of two steps that began with weights for CamVid."""
    pytest.importorskip("keras")
    from icnet.training.learner import Learner
    from icnet.training.recipe import Recipe
    from icnet.training.trainer import Trainer

    spec = dataclasses.replace(TINY, classes=TABLE, size_hw=(96, 160))
    recipe = Recipe(epochs=1, batch_size=2, crop_hw=(64, 96), learning_rate=1e-4)
    folder = tmp_path_factory.mktemp("other")
    trainer = Trainer(Learner(spec, recipe, Bands(4), Bands(2), initial=random_weights(TINY, seed=3)), folder)
    assert trainer.run().step == 2
    return folder


@pytest.fixture(scope="module")
def weight_file(trained):
    return trained / "best.safetensors"


def run(command, *arguments: object) -> str:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_the_file_tells_classes_size_and_score(trained, weight_file):
    weights = load_weights(weight_file)
    assert (weights.spec.classes, weights.spec.size_hw) == (TABLE, (96, 160))
    assert "miou_omz" not in weights.about, "there is one rule without void"
    assert weights.about["answers_unlabeled"] is False
    with (trained / "log.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["miou_strict"]
    assert row["miou_omz"] == ""
    told = json.loads(run(info, weight_file, "--json"))
    assert (told["classes"], told["size"]) == (TABLE.to_dict(), {"height": 96, "width": 160})
    assert "5: drivable area, Sidewalk, motor car, Person, all the rest" in run(info, weight_file)


def test_exports_carry_the_table(weight_file, tmp_path):
    yaml = pytest.importorskip("yaml")
    run(export, weight_file, "-o", tmp_path, "--precision", "fp16", "--kind", "index", "--kind", "soft", "--size", "64x128")
    for name in ("tiny", "tiny-soft"):
        path = tmp_path / name / "FP16" / f"{name}.xml"
        assert (Engine(path).classes, Engine(path).size_hw, model_facts(str(path)).classes) == (TABLE, (64, 128), TABLE)
    text = path.read_text()
    assert "drivable_area Sidewalk motor_car Person all_the_rest" in text, "what Model API reads"
    check = yaml.safe_load((tmp_path / "tiny" / "accuracy-check.yml").read_text())["models"][0]["datasets"][0]
    assert "ignore_label" not in check["metrics"][0]
    assert json.loads((tmp_path / "tiny" / check["annotation_conversion"]["dataset_meta_file"]).read_text())["labels"] == list(
        TABLE.names
    )
    assert "5 classes" in yaml.safe_load((tmp_path / "tiny" / "model.yml").read_text())["description"]


@pytest.fixture
def picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = cv2.resize(Bands(1)[0].image, (200, 120))
    cv2.imwrite("a.png", image)
    return image


def test_every_form_has_its_names_and_colours(weight_file, picture, tmp_path):
    segmenter = Segmenter(weight_file, EngineOptions(threads=1))
    assert segmenter.classes == TABLE
    expected = segmenter(picture, confidence=True)
    assert (expected.table, list(expected.shares())) == (TABLE, list(TABLE.names))
    present = set(np.unique(expected.classes).tolist())
    assert len(present) > 1
    run(segment, "a.png", "-o", "out", "--model", weight_file, "--write", FORMS, "--stats", "t.csv", "--threads", "1")
    read = {name: cv2.imread(f"out/a{name}.png", cv2.IMREAD_UNCHANGED) for name in ("", "_colour", "_confidence")}
    np.testing.assert_array_equal(read[""], expected.classes)
    np.testing.assert_array_equal(read["_colour"][..., ::-1], TABLE.palette_rgb[expected.classes])
    np.testing.assert_array_equal(read["_confidence"], expected.confidence)
    with Image.open("out/a_palette.png") as shown:
        np.testing.assert_array_equal(np.asarray(shown.convert("RGB")), TABLE.palette_rgb[expected.classes])
    regions = json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]
    assert {one["properties"]["class"] for one in regions} == {TABLE.names[index] for index in present}
    for form in ("coco", "rle"):
        document = json.loads((tmp_path / "out" / f"a.{form}.json").read_text())
        assert [one["name"] for one in document["categories"]] == list(TABLE.names)
        assert {one["category_id"] - 1 for one in document["annotations"]} == present
    with open("t.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert [float(row[name]) for name in TABLE.names] == pytest.approx(list(expected.shares().values()), abs=1e-6)


def test_only_some_classes_of_a_table_without_void(weight_file, picture):
    run(segment, "a.png", "-o", "out", "--model", weight_file, "--write", "classes,palette,geojson", "--only", "Motor Car,PERSON")
    classes = Segmenter(weight_file, EngineOptions(threads=1))(picture).classes
    shown = np.isin(classes, (2, 3))
    assert not shown.all()
    np.testing.assert_array_equal(cv2.imread("out/a.png", cv2.IMREAD_GRAYSCALE), np.where(shown, classes, OUTSIDE))
    with Image.open("out/a_palette.png") as indexed:
        np.testing.assert_array_equal(np.asarray(indexed.convert("RGB"))[~shown], 0)


def test_no_class_to_abstain_with(weight_file, picture):
    with pytest.raises(UsageError, match='no class for "no label"'):
        Segmenter(weight_file, abstain=0.5)
    with pytest.raises(UsageError, match='no class for "no label"'):
        evaluate([Bands(1)[0]], Engine(weight_file), abstain=0.5)


def test_large_pictures_in_windows(weight_file):
    large = segment_tiled(Segmenter(weight_file, EngineOptions(threads=1)), np.zeros((150, 260, 3), np.uint8), confidence=True)
    assert (large.table, large.classes.shape) == (TABLE, (150, 260))


def test_scores_leave_out_what_is_no_class(weight_file):
    engine = Engine(weight_file)
    check_classes(Bands(1), engine)
    result = evaluate([Bands(1)[0]], engine)
    assert result.confusion.sum() == 60 * 100 - 36, "at the truth's own size"
    assert (list(result.scores.iou), result.scores.miou_omz, result.scores.given_up) == (list(TABLE.names), None, None)
    with pytest.raises(UsageError, match="12 classes and the model 5, and they differ in all the rest"):
        check_classes(StreetSet(1), engine)
    pytest.importorskip("matplotlib")
    axes = draw_confusion(result.confusion, TABLE).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels() if label.get_text()] == list(TABLE.names)


def test_a_server_of_two_tables(weight_file, picture, tmp_path):
    pytest.importorskip("starlette")
    from starlette.testclient import TestClient

    from icnet.network.weights import save_weights
    from icnet.serve.app import build_app
    from icnet.serve.limits import Limits
    from icnet.serve.metrics import Metrics
    from icnet.serve.models import Models
    from icnet.serve.pool import Pool
    from icnet.serve.service import Service

    save_weights(tmp_path / "c.safetensors", random_weights(dataclasses.replace(TINY, name="camvid"), seed=1))
    metrics, limits = Metrics(), Limits()
    models = Models([str(weight_file), str(tmp_path / "c.safetensors")], EngineOptions(threads=1), metrics)
    client = TestClient(build_app(Service(models, Pool(1, limits.queue, metrics), limits, metrics)), base_url="http://localhost")
    body = (tmp_path / "a.png").read_bytes()

    def ask(**parameters: object):
        return client.post("/v1/segment", params=parameters, content=body, headers={"content-type": "image/png"})

    assert list(ask(**{"as": "shares"}).json()["shares"]) == list(TABLE.names)
    assert list(ask(**{"as": "shares", "only": "motor car"}).json()["shares"]) == ["motor car"]
    assert list(ask(**{"as": "shares", "model": "camvid", "only": "Sky"}).json()["shares"]) == ["Sky"]
    refused = ask(only="Sky")
    assert (refused.status_code, "there is no class Sky" in refused.text) == (400, True)
    assert (ask(abstain=0.5).status_code, ask(abstain=0.5, model="camvid").status_code) == (400, 200)
    page = client.get("/page/classes.json").json()
    assert [(one["name"], one["unlabeled"]) for one in page["classes"]] == [(name, False) for name in TABLE.names]
    assert "classes" not in page["models"][0]
    assert [one["name"] for one in page["models"][1]["classes"]] == list(CAMVID.names)
    outputs = client.get("/v2/models/tiny").json()["outputs"]
    assert next(one["shape"] for one in outputs if one["name"] == "logits") == [-1, 5, 24, 40]
    document = client.get("/openapi.json").json()
    assert document["components"]["schemas"]["ClassName"]["enum"] == [*TABLE.names, *CAMVID.names]
