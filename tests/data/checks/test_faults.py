"""Every kind of fault is planted in a clean folder, and found and named, and nothing else is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import labelled_scenes as made
import numpy as np
import pytest
from PIL import Image

from icnet.base.errors import DataError, UsageError
from icnet.data.checks.check import check_data
from icnet.data.checks.faults import KINDS
from icnet.data.intake.importing import import_data

SCENES = made.scenes(train=8, val=4)
TRAIN, VAL = SCENES[1], SCENES[9]
NAME, VAL_NAME = f"train/{TRAIN.name}", f"val/{VAL.name}"

Plant = Callable[[Path], object]
PLANTS: dict[str, tuple[str, str, Plant]] = {}
"""By a word: the kind, the name that has it, and what plants it."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> Path:
    """A folder of our layout, whose pictures are files of their own."""
    folder = tmp_path_factory.mktemp("clean")
    made.index_folders(folder / "source", SCENES)
    import_data(folder / "source", folder / "out")
    shutil.rmtree(folder / "source")
    return folder / "out"


def plants(kind: str, name: str, word: str = "") -> Callable[[Plant], Plant]:
    def keep(plant: Plant) -> Plant:
        PLANTS[word or kind] = (kind, name, plant)
        return plant

    return keep


def mask_of(root: Path, name: str = NAME) -> Path:
    return root / "masks" / f"{name}.png"


def image_of(root: Path, name: str = NAME) -> Path:
    return root / "images" / f"{name}.jpg"


def line_to(root: Path, split: str, line: str) -> None:
    path = root / "splits" / f"{split}.txt"
    path.write_text(path.read_text() + f"{line}\n")


def turned(root: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.open(image_of(root)).save(image_of(root), exif=exif)


def smoothly(array: np.ndarray) -> np.ndarray:
    """There and back with interpolation."""
    small = cv2.resize(array, (60, 40), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(small, (made.WIDTH, made.HEIGHT), interpolation=cv2.INTER_LINEAR)


def ids(*, of: np.ndarray = TRAIN.ids, **changes: int) -> np.ndarray:
    changed = of.copy()
    for index, value in changes.items():
        changed[of == int(index[1:])] = value
    return changed


@plants("unreadable-picture", NAME)
def _(root):
    image_of(root).write_bytes(image_of(root).read_bytes()[:400])


@plants("unreadable-mask", NAME)
def _(root):
    mask_of(root).write_bytes(mask_of(root).read_bytes()[:-20])


@plants("picture-without-mask", NAME)
def _(root):
    mask_of(root).unlink()


@plants("mask-without-picture", NAME)
def _(root):
    image_of(root).unlink()


@plants("sizes-differ", NAME)
def _(root):
    cv2.imwrite(str(mask_of(root)), TRAIN.ids[:, :-1])


@plants("turned", NAME)
def _(root):
    turned(root, 6)


@plants("orientation", NAME)
def _(root):
    turned(root, 3)


@plants("jpeg-mask", NAME)
def _(root):
    cv2.imwrite(str(mask_of(root).with_suffix(".jpg")), TRAIN.ids)
    mask_of(root).with_suffix(".jpg").rename(mask_of(root))


@plants("interpolated", NAME)
def _(root):
    (root / "classes.yaml").write_text("[road, a, b, c, d, sky, e, f, g, h, car]")
    for scene in SCENES:
        spread = ids(of=scene.ids, _1=5, _2=10, _255=0)
        spread[0, :10] = range(1, 11)  # every class is there
        cv2.imwrite(str(mask_of(root, f"{scene.split}/{scene.name}")), spread)
    cv2.imwrite(str(mask_of(root)), smoothly(ids(_1=5, _2=10, _255=0)))


@plants("blended-colours", NAME)
def _(root):
    cv2.imwrite(str(mask_of(root)), smoothly(made.coloured(TRAIN.ids)))


@plants("unknown-ids", NAME)
def _(root):
    cv2.imwrite(str(mask_of(root)), ids(_255=77))


@plants("unknown-ids", NAME, "unknown-ids of 16 bits")
def _(root):
    cv2.imwrite(str(mask_of(root)), TRAIN.ids.astype(np.uint16) * 300)


@plants("unknown-colours", NAME)
def _(root):
    mask = made.coloured(TRAIN.ids)
    mask[TRAIN.ids == 255] = (1, 2, 3)
    cv2.imwrite(str(mask_of(root)), mask)


@plants("empty-mask", NAME)
def _(root):
    cv2.imwrite(str(mask_of(root)), np.full_like(TRAIN.ids, 255))


@plants("blank-picture", NAME)
def _(root):
    cv2.imwrite(str(image_of(root)), np.full_like(TRAIN.image, 90))


@plants("odd-size", NAME)
def _(root):
    cv2.imwrite(str(image_of(root)), TRAIN.image[:, :80])
    cv2.imwrite(str(mask_of(root)), TRAIN.ids[:, :80])


@plants("same-name", NAME)
def _(root):
    cv2.imwrite(str(image_of(root).with_suffix(".png")), SCENES[2].image)


@plants("listed-not-there", "train/gone")
def _(root):
    line_to(root, "train", "train/gone")


@plants("listed-twice", NAME)
def _(root):
    line_to(root, "train", NAME)


@plants("in-two-splits", NAME)
def _(root):
    line_to(root, "val", NAME)


@plants("in-no-split", NAME)
def _(root):
    path = root / "splits" / "train.txt"
    path.write_text(path.read_text().replace(f"{NAME}\n", ""))


@plants("no-split", "val")
def _(root):
    (root / "splits" / "train.txt").open("a").write((root / "splits" / "val.txt").read_text())
    (root / "splits" / "val.txt").unlink()


@plants("class-missing", "car")
def _(root):
    for scene in SCENES[8:]:
        cv2.imwrite(str(mask_of(root, f"val/{scene.name}")), ids(of=scene.ids, _2=0))


@plants("class-nowhere", "tram")
def _(root):
    table = (root / "classes.yaml").read_text()
    (root / "classes.yaml").write_text(table.replace("void:", "- {name: tram, colour: '#00ff00'}\nvoid:"))


@plants("near-duplicates", VAL_NAME)
def _(root):
    brighter = cv2.convertScaleAbs(cv2.GaussianBlur(TRAIN.image, (3, 3), 0), alpha=0.9, beta=12)
    cv2.imwrite(str(image_of(root, VAL_NAME)), brighter, [cv2.IMWRITE_JPEG_QUALITY, 60])


@plants("duplicates", f"train/{SCENES[0].name}")
def _(root):
    shutil.copy(image_of(root, f"train/{SCENES[0].name}"), image_of(root))


@plants("broken-shape", NAME, "what the import saw")
def _(root):
    about = json.loads((root / "import.json").read_text())
    about["faults"] = [{"kind": "broken-shape", "name": NAME, "text": "an outline is empty", "others": []}]
    (root / "import.json").write_text(json.dumps(about))


@pytest.mark.parametrize("word", PLANTS)
def test_a_planted_fault_is_found_and_nothing_else(word, clean, tmp_path):
    kind, name, plant = PLANTS[word]
    shutil.copytree(clean, tmp_path / "set")
    plant(tmp_path / "set")
    faults = check_data(tmp_path / "set").faults
    assert [(fault.kind, fault.name) for fault in faults] == [(kind, name)], faults


OF_DOCUMENTS = {
    "broken-shape": lambda document: document["annotations"][0].update(segmentation=[[1, 2, 3, 4]]),
    "broken-shape of no category": lambda document: document["annotations"][0].update(category_id=999),
    "broken-shape far away": lambda document: document["annotations"][0].update(segmentation=[[1, 2, 3, 4, 1e9, 6]]),
    "broken-shape of damaged run lengths": lambda document: document["annotations"][0].update(
        segmentation={"size": [made.HEIGHT, made.WIDTH], "counts": "0000zz"}
    ),
    "picture-not-there": lambda document: document["images"].append({"id": 9999, "file_name": "gone.jpg"}),
    "sizes-differ": lambda document: document["images"][0].update(width=95),
}


@pytest.mark.parametrize("word", OF_DOCUMENTS)
def test_faults_of_documents(word, tmp_path):
    made.coco_polygons(tmp_path, SCENES)
    path = tmp_path / "annotations" / "instances_train2026.json"
    document = json.loads(path.read_text())
    OF_DOCUMENTS[word](document)
    path.write_text(json.dumps(document))
    assert {fault.kind for fault in check_data(tmp_path).faults} == {word.split()[0]}


def test_every_kind_is_planted_somewhere():
    planted = {kind for kind, _, _ in PLANTS.values()} | {word.split()[0] for word in OF_DOCUMENTS}
    assert planted == KINDS.keys() - {"odd-name"}, "tests/data/intake has that one"


def test_nothing_usable_is_no_report(clean, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        check_data(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no files"):
        check_data(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("?")
    with pytest.raises(DataError, match="no format that is known; expected one of"):
        check_data(tmp_path / "empty")
    shutil.copytree(clean, tmp_path / "set")
    for path in (tmp_path / "set" / "images").rglob("*.jpg"):
        path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"none of the 12 pictures of .* can be used: .* cannot read"):
        check_data(tmp_path / "set")
