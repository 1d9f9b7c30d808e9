import glob
from pathlib import Path

import cv2
import numpy as np
import pytest

from icnet.base.errors import UsageError
from icnet.media.sources import Source, expand
from icnet.pictures.formats import reads_heic


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


def test_content_comes_before_the_suffix(folder):
    for name in ("shot.mp4", "drive/deep/shot.mp4"):
        (folder / name).write_bytes(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    (folder / "drive/clip.jpg").write_bytes(b"\0\0\0\x20ftypisom")
    assert found("shot.mp4") == [("shot.mp4", "image")]
    assert found("drive/deep") == [("drive/deep/c.mp4", "video"), ("drive/deep/shot.mp4", "image")]
    assert found("drive/deep/*") == found("drive/deep")
    assert found("drive/c*") == found("drive/clip.jpg") == [("drive/clip.jpg", "image")]  # reported as unreadable


def test_folders_hold_pictures_of_the_accepted_kinds(folder):
    suffixes = [".avif", ".bmp", ".dib", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"]
    names = sorted(f"x{suffix}" for suffix in [*suffixes, *([".heic", ".heif", ".hif"] if reads_heic else [])])
    for name in [*names, "x.ppm", "x.jp2", "x.m3u8", "x.sdp"]:
        (folder / "drive/deep" / name).write_bytes(b"")
    assert [name for name, kind in found("drive/deep") if kind == "image"] == [f"drive/deep/{name}" for name in names]


PLAYLIST = b"#EXTM3U\n#EXTINF:9,\nhttp://127.0.0.1/a.ts\n"


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.png"])
def test_a_named_playlist_needs_leave(folder, name):
    (folder / name).write_bytes(PLAYLIST)
    with pytest.raises(
        UsageError, match=f"{name} is a playlist, which names other files or addresses: allow it with --allow-url"
    ):
        expand([name])
    assert [source for source, _ in found(name, allow_url=True)] == [name]


def test_a_playlist_in_a_folder_is_one_bad_input(folder):
    (folder / "drive/deep/c.mp4").write_bytes(PLAYLIST)
    assert found("drive/deep") == found("drive/deep/*.mp4") == [("drive/deep/c.mp4", "video")]


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https", "RTSP"])
def test_addresses_need_leave(scheme):
    address = f"{scheme}://camera.local:554/live?x=[1]*"
    with pytest.raises(UsageError, match="network addresses are opened only with --allow-url"):
        expand([address])
    assert found(address, address, allow_url=True) == [(address.replace("RTSP", "rtsp"), "stream")]


def test_each_stream_once():
    addresses = ["http://host/a/b", "HTTP://host/a/b", "http://host/a//b"]  # a server may tell the last one apart
    assert [name for name, _ in found(*addresses, allow_url=True)] == ["http://host/a/b", "http://host/a//b"]


@pytest.mark.parametrize("address", ["ftp://host/x.mp4", "file:///etc/passwd", "concat://a", "x-y://host"])
def test_other_schemes_are_refused(address):
    with pytest.raises(UsageError, match="begins with rtsp://, rtsps://, http:// or https://"):
        expand([address], allow_url=True)


@pytest.mark.parametrize("address", ["rtsp://", "rtmp://:1935/x", "udp://@", "http:///x", "http://[1", "http://user:pw@"])
def test_an_address_without_host_is_refused(address):
    with pytest.raises(UsageError, match="it names no host"):
        expand([address], allow_url=True)


def test_what_exists_comes_before_an_address(folder):
    path = folder / "http:" / "host"
    path.mkdir(parents=True)
    (path / "a.png").write_bytes(b"")
    assert found("http://host/a.png") == [("http://host/a.png", "image")]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://user:secret@host:554/a", "rtsp://user:***@host:554/a"),
        ("rtsp://:secret@host/a", "rtsp://:***@host/a"),
        ("rtsp://me@mail.example:secret@host/a", "rtsp://me@mail.example:***@host/a"),
        ("rtsp://user:se/c#r?e:t@1@host/a", "rtsp://user:***@host/a"),
        ("rtsp://user:" + "secret" * 100 + "@host/a", "rtsp://user:***@host/a"),
        ("http://user@host/a", "http://user@host/a"),
        ("http://host:8080/a", "http://host:8080/a"),
        ("http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
    ],
)
def test_passwords_are_not_shown(address, shown):
    (source,) = expand([address], allow_url=True)
    assert (source.name, source.shown) == (address, shown)
    for given in (address, address.replace("http", "ftp").replace("rtsp", "ftp")):
        with pytest.raises(UsageError) as caught:
            expand([given])
        assert given.split("://")[0] + "://" + shown.split("://")[1] in str(caught.value)


def test_other_names_are_shown_as_they_are(folder):
    (folder / "a:b@c.mp4").write_bytes(b"")
    assert [source.shown for source in expand(["a:b@c.mp4", "0"])] == ["a:b@c.mp4", "0"]


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


@pytest.mark.parametrize("given", ["tree", "tree/**", "tree/*", "tree/**/*.png", "**/x.png"])
def test_linked_folders_are_followed_once(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    for name in ("tree/deep/x.png", "elsewhere/more/x.png"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_bytes(b"")
    Path("tree/deep/around").symlink_to("../..")  # of the tree and of what lies beside it
    Path("tree/a-link").symlink_to("deep")
    Path("tree/deep/again").symlink_to(".")
    Path("tree/outside").symlink_to("../elsewhere")
    names = [name for name, _ in found(given)]
    assert "tree/deep/x.png" in names, "what is really there keeps its name"
    assert len(names) == len({Path(name).resolve() for name in names}) == 2, names


def test_links_in_a_circle_would_be_found_forty_times(tmp_path):
    """So the test above has something to see."""
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "again").symlink_to(".")
    assert len(glob.glob(str(tmp_path / "**/*.png"), recursive=True)) > 20


def test_what_a_search_finds_and_does_not_read_is_passed_over(folder):
    (folder / "drive/deep/out").mkdir()
    for name in ("drive/photo.RAW", "drive/deep/out/report.jsonl", "drive/gone"):
        (folder / name).write_bytes(b"")
    (folder / "drive/gone").unlink()
    (folder / "drive/gone").symlink_to("nowhere")
    told: list[str] = []
    assert len(found("drive", "drive/notes.txt", skip=Path("drive/deep/out"), pass_over=told.append)) == 4
    assert sorted(told) == ["drive/gone", "drive/photo.RAW"]
    found("drive/*", pass_over=told.append)
    assert sorted(told[2:]) == ["drive/deep/out/report.jsonl", "drive/gone", "drive/notes.txt", "drive/photo.RAW"]


def test_nothing_given():
    with pytest.raises(UsageError, match="no input"):
        expand([])


def test_values_in_the_query_of_an_address_are_not_shown():
    (source,) = expand(["http://cam/live?user=admin&pwd=SECRET#x"], allow_url=True)
    assert source.shown == "http://cam/live?user=***&pwd=***"
    assert "SECRET" in source.name
