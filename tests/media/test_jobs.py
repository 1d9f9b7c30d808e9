from pathlib import Path

import pytest

from icnet.base.errors import UsageError
from icnet.media.jobs import plan
from icnet.media.sources import Source, expand

OUT = Path("out")


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.png", "b/x.png", "b/y.jpg", "b/deep/z.v2.png", "clip.mp4"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"")


def outputs(*inputs: str, classes_only: bool = False) -> list[list[str]]:
    return [[path.as_posix() for path in job.outputs] for job in plan(expand(list(inputs)), OUT, classes_only=classes_only)]


def test_names_follow_the_stem_and_the_folders_below_the_input():
    assert outputs("b") == [
        ["out/deep/z.v2.png", "out/deep/z.v2_overlay.png"],
        ["out/x.png", "out/x_overlay.png"],
        ["out/y.png", "out/y_overlay.png"],
    ]
    assert outputs("a/x.png", "b/y.jpg", "clip.mp4") == [
        ["out/x.png", "out/x_overlay.png"],
        ["out/y.png", "out/y_overlay.png"],
        ["out/clip.mp4"],
    ]


def test_classes_only():
    assert outputs("a/x.png", "clip.mp4", classes_only=True) == [["out/x.png"], ["out/clip"]]


def test_equal_names_from_different_folders_keep_their_folders():
    assert outputs("a", "b/x.png") == [["out/a/x.png", "out/a/x_overlay.png"], ["out/b/x.png", "out/b/x_overlay.png"]]


@pytest.mark.parametrize("other", ["a/x.jpg", "a/x_overlay.bmp"])
def test_one_output_of_two_inputs_is_refused(other):
    Path(other).write_bytes(b"")
    with pytest.raises(UsageError, match="would both write out/x"):
        outputs("a")


def test_a_picture_in_the_folder_of_a_videos_class_maps_is_refused():
    Path("clip").mkdir()
    Path("clip/000000.png").write_bytes(b"")
    assert len(outputs(".")) == 6
    with pytest.raises(UsageError, match=r"would both write out/clip/000000\.png"):
        outputs(".", classes_only=True)


@pytest.mark.parametrize("output", ["a", "link"])
def test_inputs_are_never_overwritten(output):
    Path("link").symlink_to("a")
    with pytest.raises(UsageError, match=r"would overwrite the input a/x\.png"):
        plan(expand(["a"]), Path(output))


def test_the_output_must_be_a_folder_and_class_maps_do_not_mix():
    with pytest.raises(UsageError, match="is a file"):
        plan(expand(["a"]), Path("clip.mp4"))
    (OUT / "clip").mkdir(parents=True)
    assert outputs("clip.mp4", classes_only=True) == [["out/clip"]]
    (OUT / "clip" / "000009.png").write_bytes(b"")
    with pytest.raises(UsageError, match="not empty"):
        outputs("clip.mp4", classes_only=True)


def test_a_recording_is_never_overwritten():
    camera = [Source("0", "camera")]
    assert plan(camera, OUT)[0].overlay == OUT / "camera0.mp4"
    OUT.mkdir()
    (OUT / "camera0.mp4").write_bytes(b"")
    assert plan(camera, OUT)[0].overlay == OUT / "camera0-2.mp4"
