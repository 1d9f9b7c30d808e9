from pathlib import Path

import cv2
import numpy as np
import pytest

from icnet.base.errors import UsageError
from icnet.media.jobs import plan
from icnet.media.sources import Source, expand
from icnet.results.forms import FORMS, FormName

OUT = Path("out")


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.png", "b/x.png", "b/y.jpg", "b/deep/z.v2.png", "clip.mp4"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"")


def outputs(*inputs: str, forms: tuple[FormName, ...] = (), replaced: tuple[str, ...] = ()) -> list[list[str]]:
    jobs = plan(expand(list(inputs)), OUT, forms=forms, replaced=replaced)
    return [[path.as_posix() for path in job.outputs] for job in jobs]


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


def test_only_class_maps():
    assert outputs("a/x.png", "clip.mp4", forms=("classes",)) == [["out/x.png"], ["out/clip"]]


def test_every_form_has_its_name():
    picture, clip = outputs("a/x.png", "clip.mp4", forms=tuple(FORMS))
    assert [name.removeprefix("out/x") for name in picture] == [
        *(".png", "_palette.png", "_colour.png", "_overlay.png", "_confidence.png", ".geojson", ".coco.json", ".rle.json")
    ]
    assert [name.removeprefix("out/clip") for name in clip] == [
        *("", "_palette", "_colour.mp4", ".mp4", "_confidence", ".geojson", ".coco.json", ".rle.json")
    ]
    (job,) = plan(expand(["clip.mp4"]), OUT, forms=tuple(FORMS))
    assert [path.name for path in job.folders] == ["clip", "clip_palette", "clip_confidence"]
    assert plan(expand(["a/x.png"]), OUT, forms=tuple(FORMS))[0].folders == []


def test_equal_names_from_different_folders_keep_their_folders():
    assert outputs("a", "b/x.png") == [["out/a/x.png", "out/a/x_overlay.png"], ["out/b/x.png", "out/b/x_overlay.png"]]


@pytest.mark.parametrize("other", ["x.jpg", "x_overlay.bmp"])
def test_inputs_of_one_folder_that_share_a_name_keep_their_suffix_and_no_other_does(other):
    Path("b", other).write_bytes(b"")
    assert sorted(outputs("b")) == [
        ["out/deep/z.v2.png", "out/deep/z.v2_overlay.png"],
        *sorted([f"out/{name}.png", f"out/{name}_overlay.png"] for name in ("x.png", other)),
        ["out/y.png", "out/y_overlay.png"],
    ]
    assert outputs("b/x.png", f"b/{other}") == outputs(f"b/{other}", "b/x.png")[::-1]
    # Another input folder changes nothing as long as its names do not clash.
    assert ["out/clip.mp4"] in outputs("b", "clip.mp4")
    assert ["out/y.png", "out/y_overlay.png"] in outputs("b", "clip.mp4")


def test_a_kept_suffix_that_makes_another_clash():
    for name in ("a/x.jpg", "a/x.jpg.png", "clip.mov"):
        Path(name).write_bytes(b"")
    assert [job[0] for job in outputs("a")] == ["out/x.jpg.png", "out/x.jpg.png.png", "out/x.png.png"]
    assert outputs("clip.mp4", "clip.mov") == [["out/clip.mp4.mp4"], ["out/clip.mov.mp4"]]


def test_equal_names_in_one_folder_and_in_two():
    Path("a/x.jpg").write_bytes(b"")
    assert [job[0] for job in outputs("a", "b/x.png")] == ["out/a/x.jpg.png", "out/a/x.png.png", "out/b/x.png"]


def test_what_no_suffix_tells_apart_is_refused():
    Path("a/x.png_overlay").write_bytes(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    with pytest.raises(UsageError, match=r"a/x\.png and a/x\.png_overlay would both write out/x\.png_overlay\.png: rename one"):
        outputs("a/x.png", "a/x.png_overlay")


def test_a_picture_in_the_folder_of_a_videos_class_maps():
    Path("clip").mkdir()
    Path("clip/000000.png").write_bytes(b"")
    assert len(outputs(".")) == 6
    assert [job[0] for job in outputs("clip.mp4", "clip", forms=("classes",))] == ["out/clip", "out/000000.png"]
    shared = [job[0] for job in outputs(".", forms=("classes",))]
    assert sorted(shared)[-2:] == ["out/clip.mp4", "out/clip/000000.png.png"]


@pytest.mark.parametrize("output", ["a", "link"])
def test_inputs_are_never_overwritten(output):
    Path("link").symlink_to("a")
    with pytest.raises(UsageError, match=r"would overwrite the input a/x\.png"):
        plan(expand(["a"]), Path(output))


def test_the_output_must_be_a_folder_and_class_maps_do_not_mix():
    with pytest.raises(UsageError, match="is a file"):
        plan(expand(["a"]), Path("clip.mp4"))
    (OUT / "clip").mkdir(parents=True)
    assert outputs("clip.mp4", forms=("classes",)) == [["out/clip"]]
    (OUT / "clip" / "000009.png").write_bytes(b"")
    with pytest.raises(UsageError, match="not empty"):
        outputs("clip.mp4", forms=("classes",))
    assert outputs("clip.mp4", forms=("classes",), replaced=("out/clip",)) == [["out/clip"]]
    (OUT / "clip" / "diary.txt").write_bytes(b"")
    with pytest.raises(UsageError, match="not empty"):
        outputs("clip.mp4", forms=("classes",), replaced=("out/clip",))


def test_a_folder_of_the_user_is_not_taken_for_one_of_ours():
    (OUT / "clip.partial").mkdir(parents=True)
    (OUT / "clip.partial" / "000000.png").write_bytes(b"")
    assert outputs("clip.mp4", forms=("classes",)) == [["out/clip"]], "a killed run leaves such"
    (OUT / "clip.partial" / "diary.txt").write_bytes(b"")
    with pytest.raises(UsageError, match=r"clip\.partial holds something else than the pictures of a video"):
        outputs("clip.mp4", forms=("classes",))


def test_names_of_unfinished_videos_are_taken():
    for name in ("b/d.partial.mp4", "b/d.webm"):
        Path(name).write_bytes(b"")
    assert sorted(outputs("b/d.partial.mp4", "b/d.webm")) == [["out/d.partial.mp4.mp4"], ["out/d.webm.mp4"]]


def test_a_recording_is_never_overwritten():
    camera = [Source("0", "camera")]
    assert plan(camera, OUT)[0].paths["overlay"] == OUT / "camera0.mp4"
    OUT.mkdir()
    (OUT / "camera0.partial.mp4").write_bytes(b"")
    assert plan(camera, OUT)[0].paths["overlay"] == OUT / "camera0-2.mp4", "of a run that was killed"
    (OUT / "camera0.partial.mp4").unlink()
    (OUT / "camera0.mp4").write_bytes(b"")
    assert plan(camera, OUT)[0].paths["overlay"] == OUT / "camera0-2.mp4"


@pytest.mark.parametrize(
    ("address", "stem"),
    [
        ("rtsp://user:secret@10.0.0.7:554/stream1?channel=2", "10.0.0.7-stream1"),
        ("http://camera.local/", "camera.local"),
        ("http://[::1]:8080/a/../../b%2f?x=../y", "1-a-..-..-b-2f"),
    ],
)
def test_a_stream_is_named_after_its_address_and_stays_in_the_folder(address, stem):
    (job,) = plan([Source(address, "stream")], OUT)
    assert job.outputs == [OUT / f"{stem}.mp4"]
    assert "secret" not in str(job.outputs)


def test_two_channels_of_one_recorder():
    jobs = plan([Source(f"http://10.0.0.7/live?channel={number}", "stream") for number in (1, 2)], OUT)
    assert [job.paths["overlay"].name for job in jobs] == ["10.0.0.7-live.mp4", "10.0.0.7-live-2.mp4"]
