"""COCO documents of many inputs, as tools for data sets read them."""

import json
from pathlib import Path

import numpy as np
import pytest
from clip_files import write_clip
from pycocotools.coco import COCO
from segment_runs import picture, tiny_model

from icnet import cli
from icnet.results.png import write_png


@pytest.fixture(autouse=True)
def folder(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path, tiny)
    for number, name in enumerate(("a/x.png", "b/x.png", "annotations.png")):
        write_png(Path("in", name), picture(number))
    write_clip(Path("in/b/v.mp4"), range(3))
    write_clip(Path("in/b/v.mkv"), range(2))


def run(*arguments: str, code: int = 0) -> None:
    assert cli.run(["segment", *arguments, "-o", "out", "--model", "tiny.safetensors"]) == code


def document(path: Path | str) -> dict:
    return json.loads(Path(path).read_text())


NAMES = [
    "a/x.png",
    "annotations.png",
    *(f"b/v.mkv/00000{n}.png" for n in range(2)),
    *(f"b/v.mp4/00000{n}.png" for n in range(3)),
    "b/x.png",
]


@pytest.mark.parametrize("form", ["coco", "rle"])
def test_a_run_of_many_inputs_has_one_document_with_ids_and_names_of_its_own(form):
    run("in", "--write", f"{form},classes")
    whole = COCO(f"out/annotations.{form}.json")
    assert sorted(image["file_name"] for image in whole.dataset["images"]) == NAMES
    assert all(Path("out", name).is_file() for name in NAMES if "/v." in name), "frames are called as their class maps are"
    parts = [document(path) for path in Path("out").rglob(f"*.{form}.json") if path.name != f"annotations.{form}.json"]
    assert len(parts) == 5
    for kind, count in (("images", len(NAMES)), ("annotations", None)):
        items = sorted((item for part in parts for item in part[kind]), key=lambda item: item["id"])
        assert items == sorted(whole.dataset[kind], key=lambda item: item["id"])
        assert len({item["id"] for item in items}) == (count or len(items)) > 5
    for image in whole.dataset["images"]:  # every annotation is of its own picture
        (part,) = (part for part in parts if any(one["id"] == image["id"] for one in part["images"]))
        masks = [whole.annToMask(one) for one in whole.imgToAnns[image["id"]]]
        assert np.sum(masks, axis=0).shape == (image["height"], image["width"])
        assert {one["id"] for one in whole.imgToAnns[image["id"]]} <= {one["id"] for one in part["annotations"]}


def test_a_resumed_run_goes_on_with_the_ids_and_has_all_in_its_document(capsys):
    run("in", "--write", "coco")
    first = document("out/annotations.coco.json")
    Path("out/a/x.coco.json").unlink()
    run("in", "--write", "coco", "--resume")
    again = document("out/annotations.coco.json")
    assert sorted(image["file_name"] for image in again["images"]) == NAMES
    (new,) = (image for image in again["images"] if image["file_name"] == "a/x.png")
    assert new["id"] == len(first["images"]) + 1, "no id is given again"
    assert len({one["id"] for one in again["annotations"]}) == len(first["annotations"])

    Path("out/a/x.coco.json").unlink()
    Path("out/b/x.coco.json").write_text("{}")
    capsys.readouterr()
    run("in", "--write", "coco", "--resume", code=2)
    assert "x.coco.json is not as it was written: remove it and run again without --resume" in capsys.readouterr().err
    assert document("out/annotations.coco.json") == again
