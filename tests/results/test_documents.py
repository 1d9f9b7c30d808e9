import gc
import json
import tracemalloc
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from icnet.base.classes import CAMVID
from icnet.base.errors import OutputError
from icnet.results.documents import CocoForm, CocoWriter, FrameInfo, GeoJsonWriter, compressed, one_ring, run_lengths
from icnet.results.polygons import fill, regions

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2

EVERY = range(12)
PICTURE = FrameInfo("a/street.png", 0, None)


def blobs(seed: int, size_hw: tuple[int, int] = (40, 60), count: int = 5) -> np.ndarray:
    fields = np.random.default_rng(seed).normal(size=(count, *size_hw)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(field, (0, 0), 1.5) for field in fields]).argmax(axis=0).astype(np.uint8)


def nested() -> np.ndarray:
    """Frames of two classes inside one another, and holes beside, above and below each other."""
    classes = np.zeros((15, 31), np.uint8)
    for margin in range(1, 7):
        classes[margin : 15 - margin, margin : 15 - margin] = margin % 2
    classes[1:14, 16:30] = 3
    for row, column in ((2, 17), (2, 20), (4, 18), (4, 19), (5, 25), (6, 26), (7, 25), (9, 17), (9, 22), (12, 17)):
        classes[row, column] = 4
    return classes


def maps() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    whole = np.full((9, 7), 10, np.uint8)
    saddles = np.indices((12, 13)).sum(axis=0, dtype=np.uint8) % 2
    found = {"nested": nested(), "whole": whole, "saddles": saddles, "pixel": np.zeros((1, 1), np.uint8)}
    found |= {f"noise {count}": rng.integers(0, count, (37, 53), dtype=np.uint8) for count in (2, 3, 12)}
    found["sparse noise"] = (rng.random((37, 53)) < 0.15).astype(np.uint8)  # one region with hundreds of holes
    return found | {f"blobs {seed}": blobs(seed) for seed in range(6)}


MAPS = maps()


def geojson(path: Path, frames: list[tuple[FrameInfo, np.ndarray]], wanted=EVERY, **options) -> dict:
    with GeoJsonWriter(path, CAMVID, wanted, **options) as writer:
        for frame, classes in frames:
            writer.add(frame, classes)
    return json.loads(path.read_text())


def coco(path: Path, frames: list[tuple[FrameInfo, np.ndarray]], form: CocoForm, wanted=EVERY, **options) -> COCO:
    with CocoWriter(path, CAMVID, wanted, form=form, **options) as writer:
        for frame, classes in frames:
            writer.add(frame, classes)
    return COCO(str(path))


def without_small(classes: np.ndarray, min_area: int) -> np.ndarray:
    """255 in regions of fewer pixels."""
    left = classes.copy()
    for index in EVERY:
        count, labels = cv2.connectedComponents((classes == index).astype(np.uint8), connectivity=4)
        for label in range(1, count):
            if (labels == label).sum() < min_area:
                left[labels == label] = 255
    return left


@pytest.mark.parametrize("name", MAPS)
def test_geojson_features_are_the_regions(tmp_path, name):
    classes = MAPS[name]
    document = geojson(tmp_path / "v.geojson", [(PICTURE, classes)])
    assert document["type"] == "FeatureCollection"
    assert {"coordinates", "geometries", "geometry", "properties"}.isdisjoint(document)  # RFC 7946, 7.1
    assert "x to the right, y down" in document["axes"]
    again = np.full(classes.shape, 255, np.uint8)
    for feature in document["features"]:
        assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "Polygon")
        rings = [np.array(ring) for ring in feature["geometry"]["coordinates"]]
        for number, ring in enumerate(rings):
            assert ring[0].tolist() == ring[-1].tolist()
            x, y = ring.T
            assert (x[:-1] @ y[1:] - y[:-1] @ x[1:] > 0) == (number == 0)  # the first one counterclockwise with y up
        mask = fill([ring[:-1] for ring in rings], classes.shape)
        about = feature["properties"]
        assert (again[mask] == 255).all()
        again[mask] = about["class_index"]
        assert about == {
            "class": CAMVID.names[about["class_index"]],
            "class_index": about["class_index"],
            "area": mask.sum(),
            "frame": 0,
        }
    assert np.array_equal(again, classes)


def test_geojson_of_a_video_tells_when(tmp_path):
    frames = [(FrameInfo("v.mp4", number, number / 30), blobs(number)) for number in (0, 1, 4)]
    document = geojson(tmp_path / "v.geojson", frames, [2], min_area=30)
    found = [feature["properties"] for feature in document["features"]]
    assert {about["class"] for about in found} == {"Pole"}
    assert {(about["frame"], about["time_s"]) for about in found} == {(0, 0.0), (1, 0.033333), (4, 0.133333)}
    expected = [region.area for _, classes in frames for region in regions(classes, [2], min_area=30)]
    assert [about["area"] for about in found] == expected
    assert min(expected) >= 30


@pytest.mark.parametrize("min_area", [0, 6])
@pytest.mark.parametrize("name", MAPS)
def test_coco_polygons_are_the_regions(tmp_path, name, min_area):
    """pycocotools fills every outline to the very pixels, holes left open; so does the nonzero rule."""
    classes = MAPS[name]
    read = coco(tmp_path / "v.json", [(PICTURE, classes)], "polygons", min_area=min_area)
    again = np.full(classes.shape, 255, np.uint8)
    annotations = list(read.anns.values())
    for annotation, region in zip(annotations, regions(classes, EVERY, min_area=min_area), strict=True):
        mask = read.annToMask(annotation).astype(bool)
        assert np.array_equal(mask, fill([region.outer, *region.holes], classes.shape))
        assert annotation["area"] == mask.sum() >= min_area
        assert annotation["bbox"] == coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask, np.uint8))).tolist()
        assert len(annotation["segmentation"]) == 1
        assert (again[mask] == 255).all()
        again[mask] = annotation["category_id"] - 1
    assert np.array_equal(again, without_small(classes, min_area))


@pytest.mark.parametrize("min_area", [0, 6])
@pytest.mark.parametrize("name", MAPS)
def test_coco_run_lengths_are_the_classes(tmp_path, name, min_area):
    classes = MAPS[name]
    read = coco(tmp_path / "v.json", [(PICTURE, classes)], "rle", min_area=min_area)
    again = np.full(classes.shape, 255, np.uint8)
    for annotation in read.anns.values():
        mask = coco_mask.decode(annotation["segmentation"]).astype(bool)
        packed = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        assert annotation["segmentation"] == {"size": list(classes.shape), "counts": packed["counts"].decode()}
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == coco_mask.toBbox(packed).tolist()
        again[mask] = annotation["category_id"] - 1
    expected = without_small(classes, min_area)
    assert np.array_equal(again, expected)
    assert len(read.anns) == len(np.unique(expected[expected < 255]))


def test_run_lengths_of_any_size():
    rng = np.random.default_rng(11)
    for longest in (1, 3, 40, 1000, 40_000, 3_000_000):
        counts = rng.integers(1, longest + 1, 9)
        counts[0] = rng.integers(0, 2)
        mask = np.repeat(np.arange(9) % 2, counts).astype(np.uint8)
        assert np.array_equal(run_lengths(mask), counts if counts[0] else [0, *counts[1:]]), counts
        assert compressed(run_lengths(mask)) == coco_mask.encode(np.asfortranarray(mask[:, None]))["counts"].decode(), counts


def test_one_ring_visits_every_hole():
    classes = np.ones((4, 4), np.uint8)
    classes[1, 1] = classes[2, 2] = 0  # the second hole touches the first, so it needs no cut
    (region,) = regions(classes, [1])
    before, after = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 1]], [[2, 1], [0, 1]]
    assert one_ring(region).tolist() == [*before, [1, 1], [1, 2], [2, 2], [2, 3], [3, 3], [3, 2], [2, 2], *after]


def test_cuts_to_holes_stay_in_the_region():
    """What is drawn along the outline lies in the region or on its border: no stroke crosses a hole."""
    for name in ("nested", "sparse noise", "blobs 2"):
        for region in regions(MAPS[name], EVERY):
            path, size_hw = one_ring(region), MAPS[name].shape
            region_pixels = np.pad(fill([region.outer, *region.holes], size_hw), 1)
            for (x0, y0), (x1, y1) in zip(path.tolist(), np.roll(path, -1, axis=0).tolist(), strict=True):
                assert (x0 == x1) != (y0 == y1), name
                left, right, top, bottom = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
                window = (
                    region_pixels[top : bottom + 2, left + 1 : right + 1]
                    if y0 == y1
                    else region_pixels[top + 1 : bottom + 1, left : left + 2].T
                )
                assert window.any(axis=0).all(), name


def test_coco_tells_images_and_categories(tmp_path):
    frames = [(FrameInfo("bild ä.png", 0, None), blobs(0)), (FrameInfo("v.mp4", 8, 0.5), blobs(1, (20, 30)))]
    read = coco(tmp_path / "v.json", frames, "rle", [8, 3])
    assert read.dataset["images"] == [
        {"id": 1, "file_name": "bild ä.png", "width": 60, "height": 40},
        {"id": 2, "file_name": "v.mp4", "width": 30, "height": 20, "frame": 8, "time_s": 0.5},
    ]
    assert read.dataset["categories"] == [{"id": 9, "name": "Vehicle"}, {"id": 4, "name": "Road"}]
    assert [(ann["id"], ann["image_id"], ann["category_id"], ann["iscrowd"]) for ann in read.anns.values()] == [
        (1, 1, 4, 0),
        (2, 2, 4, 0),
    ]


@pytest.mark.parametrize("frames", [[], [(PICTURE, np.zeros((4, 5), np.uint8))]])
def test_nothing_found_is_a_document_too(tmp_path, frames):
    document = geojson(tmp_path / "new" / "v.geojson", frames, [7])
    assert document["features"] == []
    for form in ("polygons", "rle"):
        read = coco(tmp_path / "new" / "v.json", frames, form, [7])
        assert (len(read.imgs), read.anns) == (len(frames), {})
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["v.geojson", "v.json"]


def writers(path: Path | StringIO) -> dict[str, GeoJsonWriter | CocoWriter]:
    return {
        "geojson": GeoJsonWriter(path, CAMVID, EVERY),
        "polygons": CocoWriter(path, CAMVID, EVERY, form="polygons"),
        "rle": CocoWriter(path, CAMVID, EVERY, form="rle"),
    }


@pytest.mark.parametrize("kind", ["geojson", "polygons", "rle"])
def test_an_interrupted_document_leaves_nothing_and_keeps_the_old_one(tmp_path, kind):
    path = tmp_path / "v.json"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with writers(path)[kind] as writer:
            writer.add(PICTURE, blobs(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["v.json"]


@pytest.mark.parametrize("kind", ["geojson", "polygons", "rle"])
def test_a_stream_gets_what_a_file_would_hold(tmp_path, kind):
    path, stream = tmp_path / "v.json", StringIO()
    for target in (path, stream):
        with writers(target)[kind] as writer:
            writer.add(PICTURE, blobs(0))
            writer.add(PICTURE, blobs(1))
    assert stream.getvalue().encode() == path.read_bytes()


@pytest.mark.parametrize("kind", ["geojson", "polygons", "rle"])
def test_unwritable_places_are_one_line(tmp_path, kind):
    (tmp_path / "v.json").mkdir()
    with pytest.raises(OutputError, match="cannot write"), writers(tmp_path / "v.json")[kind] as writer:
        writer.add(PICTURE, blobs(0))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"), writers(tmp_path / "file" / "v.json")[kind]:
        pass
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "v.json"]


@pytest.mark.parametrize("kind", ["geojson", "polygons", "rle"])
def test_memory_does_not_grow_with_the_video(tmp_path, kind):
    path, classes = tmp_path / "v.json", blobs(0, (20, 30))
    with writers(path)[kind] as writer:
        held = []
        tracemalloc.start()
        for number in range(60):
            writer.add(FrameInfo("v.mp4", number, number / 30), classes)
            if number in (19, 59):
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert path.stat().st_size > 40 * 1000
    assert held[1] - held[0] < 40 * 250  # of COCO, a line of text for each frame
