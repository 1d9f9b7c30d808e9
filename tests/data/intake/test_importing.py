import json
import shutil
import zipfile

import cv2
import labelled_scenes as made
import numpy as np
import pytest

from icnet.base.errors import DataError, InputError, UsageError
from icnet.data.formats.label_studio import brush
from icnet.data.intake import importing
from icnet.data.intake.importing import ImportOptions, import_data
from icnet.data.intake.opening import SourceOptions
from icnet.data.labelled import Labelled

SCENES = made.scenes()


def test_an_archive_is_the_same_as_its_folder_and_nothing_is_left_of_it(tmp_path):
    made.cvat_masks(tmp_path / "cvat", SCENES)
    packed = shutil.make_archive(str(tmp_path / "labels"), "zip", tmp_path, "cvat")
    results = [
        import_data(source, tmp_path / f"out{number}")
        for number, source in enumerate((tmp_path / "cvat", tmp_path / "labels.zip"))
    ]
    assert results[0].to_dict() == results[1].to_dict()
    trees = [{path.relative_to(root).as_posix() for path in root.rglob("*")} for root in (tmp_path / "out0", tmp_path / "out1")]
    assert trees[0] == trees[1]
    assert {path.name for path in tmp_path.iterdir()} == {"cvat", "out0", "out1", packed.rsplit("/", 1)[-1]}


def test_pictures_are_links_or_copies(tmp_path):
    made.index_folders(tmp_path / "in", SCENES)
    original = next((tmp_path / "in" / "images").rglob("*.jpg"))
    for copy in (False, True):
        import_data(tmp_path / "in", tmp_path / f"out{copy}", ImportOptions(copy=copy))
        made_one = tmp_path / f"out{copy}" / original.relative_to(tmp_path / "in")
        assert made_one.read_bytes() == original.read_bytes()
        assert made_one.samefile(original) != copy


def test_another_disk_gets_symbolic_links(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(importing.os, "link", refuse)
    made.index_folders(tmp_path / "in", SCENES)
    import_data(tmp_path / "in", tmp_path / "out")
    assert all(path.is_symlink() and path.is_file() for path in (tmp_path / "out" / "images").rglob("*.jpg"))
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
        for path in (tmp_path / "in").rglob("*.*"):
            file.write(path, path.relative_to(tmp_path))
    import_data(tmp_path / "in.zip", tmp_path / "copied")
    assert all(path.is_file() and not path.is_symlink() for path in (tmp_path / "copied" / "images").rglob("*.jpg"))


def test_what_is_there_stays_and_what_fails_leaves_nothing(tmp_path, monkeypatch):
    made.index_folders(tmp_path / "in", SCENES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="is there and not empty"):
        import_data(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    (tmp_path / ".new.dead.part").mkdir()  # of a run that was killed

    def stop(done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_data(tmp_path / "in", tmp_path / "new", step=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    (tmp_path / "new").mkdir()  # empty is as good as missing
    import_data(tmp_path / "in", tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o777 == (tmp_path / "in").stat().st_mode & 0o777
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "new"}


def test_single_pictures_that_cannot_be_taken_are_named_and_left_out(tmp_path):
    made.index_folders(tmp_path / "in", SCENES)
    first, second, *_ = sorted((tmp_path / "in" / "images" / "train").iterdir())
    first.write_bytes(first.read_bytes()[:300])
    second.rename(second.with_name("new\nline.jpg"))
    mask = tmp_path / "in" / "masks" / "train" / f"{second.stem}.png"
    mask.rename(mask.with_name("new\nline.png"))
    result = import_data(tmp_path / "in", tmp_path / "out")
    assert [(fault.kind, fault.name) for fault in result.faults] == [
        ("odd-name", "train/new\nline"),
        ("unreadable-picture", f"train/{first.stem}"),
    ]
    assert len(Labelled(tmp_path / "out", "train")) == 2
    about = json.loads((tmp_path / "out" / "import.json").read_text())
    assert [fault["kind"] for fault in about["faults"]] == ["odd-name", "unreadable-picture"]


def test_a_validation_split_that_is_asked_for_is_written_down(tmp_path):
    made.colour_folders(tmp_path / "in", made.scenes(6, 0))
    result = import_data(tmp_path / "in", tmp_path / "out", ImportOptions(val=0.5, seed=3))
    assert {split: len(names) for split, names in result.splits.items()} == {"train": 3, "val": 3, "test": 0}
    assert json.loads((tmp_path / "out" / "import.json").read_text())["drawn"] == result.drawn
    assert (tmp_path / "out" / "splits" / "val.txt").read_text().split() == result.splits["val"]
    assert not (tmp_path / "out" / "splits" / "test.txt").exists()
    with pytest.raises(UsageError, match="no share"):
        ImportOptions(val=1.0)


def test_pictures_that_lie_elsewhere(tmp_path):
    made.coco_polygons(tmp_path / "in", SCENES)
    for split in ("train", "val"):
        (tmp_path / "in" / split).rename(tmp_path / f"pictures_{split}")
        (tmp_path / "pictures").mkdir(exist_ok=True)
        (tmp_path / f"pictures_{split}").rename(tmp_path / "pictures" / split)
    with pytest.raises(DataError, match="pictures that lie elsewhere are found with --images"):
        import_data(tmp_path / "in", tmp_path / "out")
    document = tmp_path / "in" / "annotations" / "instances_train2026.json"
    options = ImportOptions(SourceOptions(images=tmp_path / "pictures"), val=0.5)
    assert sum(map(len, import_data(tmp_path / "in", tmp_path / "both", options).splits.values())) == len(SCENES)
    assert sum(map(len, import_data(document, tmp_path / "one", options).splits.values())) == 4


def test_colours_of_a_table_that_is_given(tmp_path):
    """Masks of colours without any table beside them."""
    made.colour_folders(tmp_path / "in", SCENES)
    (tmp_path / "in" / "class_dict.csv").unlink()
    (tmp_path / "wanted.yaml").write_text(made.CLASSES_YAML)
    options = ImportOptions(SourceOptions(classes=tmp_path / "wanted.yaml"))
    assert import_data(tmp_path / "in", tmp_path / "out", options).faults == []
    np.testing.assert_array_equal(Labelled(tmp_path / "out", "val")[0].labels, SCENES[4].ids)


def test_training_is_told_of_a_mask_that_was_spoilt_later(tmp_path):
    made.index_folders(tmp_path / "in", SCENES)
    import_data(tmp_path / "in", tmp_path / "out")
    mask = next((tmp_path / "out" / "masks" / "val").iterdir())
    for spoilt, said in (
        (np.full((64, 96), 9, np.uint8), r"holds 9 \(6144 pixels\)"),
        (np.zeros((64, 90), np.uint8), "another size"),
    ):
        cv2.imwrite(str(mask), spoilt)
        dataset = Labelled(tmp_path / "out", "val")
        with pytest.raises(DataError, match=rf"{said}.*icnet data check"):
            [dataset[index] for index in range(len(dataset))]
    mask.unlink()
    with pytest.raises(DataError, match="has no mask"):
        Labelled(tmp_path / "out", "val")
    with pytest.raises(DataError, match=r"test\.txt is missing or empty"):
        Labelled(tmp_path / "out", "test")


def test_a_brush_of_label_studio_itself():
    """Bytes that `encode_rle` of label-studio-converter 0.0.59 made of this mask."""
    data = bytes.fromhex("0000008c391bfe2300bfff6c023ff8c027ffb6017ffe3008fff0b800")
    expected = ["0000000", "0011110", "0010110", "0011110", "1000000"]
    assert ["".join(map(str, row)) for row in brush(data, (5, 7)).astype(int).tolist()] == expected
    for broken in (data[:-8], data[:3], bytes(28), b"\x7f" * 40):
        with pytest.raises(InputError, match="a brush is"):
            brush(broken, (5, 7))
