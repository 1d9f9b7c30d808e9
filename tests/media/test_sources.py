from pathlib import Path

import cv2
import numpy as np
import pytest

from icnet.base.errors import UsageError
from icnet.media.sources import Source, expand


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """drive/{b.png,a.JPG,notes.txt,.hidden.png,deep/c.mp4}; the working folder is the one above."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "deep/c.mp4"):
        path = tmp_path / "drive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content is not looked at")
    return tmp_path


def found(*inputs: str, **options) -> list[tuple[str, str]]:
    return [(source.name, source.kind) for source in expand(list(inputs), **options)]


def test_folder_is_searched_recursively_in_order(folder):
    assert found("drive") == [("drive/a.JPG", "image"), ("drive/b.png", "image"), ("drive/deep/c.mp4", "video")]
    assert {source.root for source in expand(["drive"])} == {Path("drive")}


def test_patterns(folder):
    assert found("drive/*.png") == [("drive/b.png", "image")]
    assert found("drive/**/*") == found("drive")
    assert found("dr*") == found("drive")  # a folder that a pattern names
    assert expand(["drive/*/c.*"]) == [Source("drive/deep/c.mp4", "video", Path("drive"))]


def test_a_name_with_brackets_is_a_name_first(folder):
    (folder / "x[1].png").write_bytes(b"")
    assert found("x[1].png") == [("x[1].png", "image")]


def test_each_file_once_in_the_order_of_the_arguments(folder):
    assert [name for name, _ in found("drive/b.png", "drive", str(folder / "drive" / "b.png"))] == [
        "drive/b.png",
        "drive/a.JPG",
        "drive/deep/c.mp4",
    ]


def test_what_exists_comes_before_a_camera_of_that_number(folder):
    (folder / "1").write_bytes(b"")
    (folder / "drive").rename("2023")
    assert found("0", "00", "1", "01") == [("0", "camera"), ("1", "video"), ("1", "camera")]
    assert found("2023/b.png", "2023")[:2] == [("2023/b.png", "image"), ("2023/a.JPG", "image")]
    assert found("99") == [("99", "camera")]


@pytest.mark.parametrize("given", ["100", "001", "99999999999"])
def test_a_number_of_no_camera_is_refused(given):
    with pytest.raises(UsageError, match=f"no such file or folder: {given}; a camera's number has one or two digits"):
        expand([given])


@pytest.mark.parametrize("given", ["x" * 256, "9" * 5000, "*/" + "x" * 256])
def test_a_name_that_no_system_takes_is_refused(folder, given):
    with pytest.raises(UsageError) as caught:
        expand([given])
    assert "\n" not in str(caught.value)


def test_a_file_in_an_unreadable_folder_is_refused(monkeypatch):
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)  # the mode of a folder would not stop an administrator
    with pytest.raises(UsageError, match=r"cannot look for secret/x\.png: Permission denied"):
        expand(["secret/x.png"])


def test_unknown_suffix_is_told_by_content(folder):
    (folder / "photo.data").write_bytes(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    assert found("photo.data") == [("photo.data", "image")]


def test_results_of_an_earlier_run_inside_the_input_are_left_out(folder):
    assert [name for name, _ in found("drive", skip=Path("drive/deep"))] == ["drive/a.JPG", "drive/b.png"]
    assert found("drive", skip=Path("drive")) == found("drive")
    assert found("drive/deep", skip=Path("drive")) == found("drive/deep")


@pytest.mark.parametrize("pattern", ["**/*.mp4", "drive/**/*.mp4", "drive/*/c.mp4", "drive/d*", "**"])
def test_results_of_an_earlier_run_do_not_match(folder, pattern):
    (folder / "drive/new").mkdir()
    (folder / "drive/new/c.mp4").write_bytes(b"")
    (folder / "drive/dashcam.mp4").write_bytes(b"")
    (folder / "link").symlink_to("drive/deep")
    assert "drive/deep/c.mp4" in [name for name, _ in found(pattern)]
    left = [name for name, _ in found(pattern, skip=Path("link"))]
    assert left
    assert "drive/deep/c.mp4" not in left


def test_a_pattern_inside_the_folder_of_results_means_what_is_there(folder):
    assert found("drive/deep/*", skip=Path("drive/deep")) == [("drive/deep/c.mp4", "video")]
    assert found("drive/deep/*", skip=Path("drive")) == [("drive/deep/c.mp4", "video")]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("nowhere", "no such file or folder: nowhere"),
        ("", "no such file or folder: an empty name"),
        ("empty", "no picture or video in the folder empty"),
        ("drive/*.txt", r"no picture or video matches drive/\*\.txt"),
    ],
)
def test_what_leads_nowhere_is_refused(folder, given, line):
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=line):
        expand(["drive", given])


def test_nothing_given():
    with pytest.raises(UsageError, match="no input"):
        expand([])
