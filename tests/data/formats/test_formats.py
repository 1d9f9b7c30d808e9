"""Every format, written as its own tool writes it, gives the same pixels, classes and splits, and no faults."""

import cv2
import labelled_scenes as made
import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.data.checks.check import check_data
from icnet.data.intake.importing import ImportOptions, import_data
from icnet.data.intake.opening import SourceOptions
from icnet.data.splits import open_split
from icnet.pictures.reading import read_indices
from icnet.results.documents import CocoWriter, FrameInfo

THREE = "classes: [road, sky, car]"
VOC_THREE = "classes: [{name: road, from: person}, {name: sky, from: [tvmonitor]}, {name: car, colour: '#00008e'}]"

FORMATS = {
    "folders": (made.index_folders, "folders", None),
    "folders-colour": (made.colour_folders, "folders", None),
    "folders-palette": (made.palette_folders, "folders", None),
    "lists": (made.pair_lists, "lists", None),
    "coco-polygons": (made.coco_polygons, "coco", None),
    "coco-compressed": (made.coco_compressed, "coco", None),
    "coco-counts": (made.coco_counts, "coco", None),
    "cityscapes-ids": (made.cityscapes_ids, "cityscapes", THREE),
    "cityscapes-polygons": (made.cityscapes_polygons, "cityscapes", THREE),
    "cvat": (made.cvat_masks, "voc", None),
    "voc": (made.voc, "voc", VOC_THREE),
    "label-studio": (made.label_studio, "label-studio", THREE),
    "yolo": (made.yolo, "yolo", None),
}


@pytest.mark.parametrize("name", FORMATS)
def test_import_gives_the_same_pixels_and_nothing_is_wrong(name, tmp_path):
    write, form, wanted = FORMATS[name]
    scenes = made.scenes()
    write(tmp_path / "source", scenes)
    table = None
    if wanted:
        table = tmp_path / "wanted.yaml"
        table.write_text(wanted)
    options = SourceOptions(classes=table)
    before = check_data(tmp_path / "source", options)
    assert (before.format, before.faults) == (form, [])

    result = import_data(
        tmp_path / "source", tmp_path / "out", ImportOptions(options, val=0.4 if form == "label-studio" else None)
    )
    assert result.faults == []
    assert result.classes.names == made.NAMES
    for split in ("train", "val"):
        dataset = open_split(str(tmp_path / "out"), split)
        assert dataset.classes == result.classes
        for sample in (dataset[index] for index in range(len(dataset))):
            scene = next(scene for scene in scenes if sample.name.endswith(scene.name))
            np.testing.assert_array_equal(sample.labels, scene.ids, sample.name)
            np.testing.assert_allclose(sample.image.astype(int), scene.image, atol=90)
            assert scene.split == split or form == "label-studio"
    after = check_data(tmp_path / "out")
    assert after.faults == []
    assert after.shares == before.shares or form == "label-studio"


def test_the_source_s_colours_come_along(tmp_path):
    for number, name in enumerate(("folders", "folders-colour", "folders-palette", "cvat")):
        FORMATS[name][0](tmp_path / f"in{number}", made.scenes())
        assert import_data(tmp_path / f"in{number}", tmp_path / f"out{number}").classes.palette == made.COLOURS


@pytest.mark.parametrize("form", ["polygons", "rle"])
def test_what_segment_writes_comes_back(form, tmp_path):
    """Class maps of holes, islands and corners that touch, as `icnet segment --write coco` and `rle` give them to label tools."""
    maps = {f"{number}.png": np.random.default_rng(number).integers(0, 12, (18, 24)).astype(np.uint8) for number in range(3)}
    with CocoWriter(tmp_path / "in" / "annotations.coco.json", CAMVID, range(12), form=form) as document:
        for index, (name, classes) in enumerate(maps.items()):
            cv2.imwrite(str(tmp_path / "in" / name), np.dstack([classes * 20] * 3))
            document.add(FrameInfo(name, index, None), classes)
    result = import_data(tmp_path / "in", tmp_path / "out", ImportOptions(val=0.3))
    assert result.faults == []
    for name, classes in maps.items():
        np.testing.assert_array_equal(read_indices(tmp_path / "out" / "masks" / name), classes)
