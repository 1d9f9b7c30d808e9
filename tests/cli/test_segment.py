import json
import signal
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clip_files import write_clip

from icnet import Segmenter, cli
from icnet.base.classes import CAMVID
from icnet.base.errors import OutputError
from icnet.media import connections
from icnet.media.sinks import video_sink
from icnet.media.video import Video
from icnet.network.weights import random_weights, save_weights
from icnet.results.png import write_png

GENERATOR = np.random.default_rng(0)
PICTURE = cv2.resize(GENERATOR.integers(0, 256, (6, 8, 3), dtype=np.uint8), (61, 45))


@pytest.fixture
def model(tiny, tmp_path) -> str:
    path = tmp_path / "model.safetensors"
    save_weights(path, random_weights(tiny, seed=1))
    return str(path)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_png(Path("in/a.png"), PICTURE)
    write_png(Path("in/deep/ü.png"), PICTURE[:30])
    return tmp_path


def write_video(path: str, frames: int = 4) -> None:
    with video_sink(Path(path), rate=Fraction(10)) as video:
        for number in range(frames):
            video.write(PICTURE, number / 10)


def files(path: str) -> list[str]:
    """All results below a folder, without the report."""
    found = [file.relative_to(path).as_posix() for file in Path(path).rglob("*") if file.is_file()]
    assert "report.jsonl" in found
    return sorted(set(found) - {"report.jsonl"})


def report() -> list[dict]:
    return [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]


def read(path: str) -> np.ndarray:
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)


def test_pictures_of_a_folder(folder, model, capsys):
    assert cli.run(["segment", "in", "-o", "out", "--model", model, "--json"]) == 0
    assert files("out") == ["a.png", "a_overlay.png", "deep/ü.png", "deep/ü_overlay.png"]
    expected = Segmenter(model)(PICTURE)
    assert read("out/a.png").dtype == np.uint8
    assert np.array_equal(read("out/a.png"), expected.classes)
    assert np.array_equal(read("out/a_overlay.png"), expected.overlay())
    assert read("out/deep/ü.png").shape == (30, 61)
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert document["model"] == "tiny"
    first, second = document["inputs"]
    assert first["input"] == "in/a.png"
    assert first["kind"] == "image"
    assert first["outputs"] == ["out/a.png", "out/a_overlay.png"]
    assert first["size"] == {"height": 45, "width": 61}
    assert first["shares"] == pytest.approx(expected.shares(), abs=1e-6)
    assert first["ms"] > 0
    assert second["input"] == "in/deep/ü.png"


def test_classes_only(folder, model):
    write_video("in/v.mp4")
    assert cli.run(["segment", "in", "-o", "out", "--model", model, "--classes-only"]) == 0
    assert files("out") == ["a.png", "deep/ü.png", "v/000000.png", "v/000001.png", "v/000002.png", "v/000003.png"]
    assert read("out/v/000003.png").shape == (46, 62)  # the video's own size, which is even
    assert read("out/v/000003.png").max() < len(CAMVID.names)


def test_video_becomes_an_overlay_video(folder, model, capsys):
    write_video("v.mp4")
    assert cli.run(["segment", "v.mp4", "-o", "out", "--model", model, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["inputs"]
    assert (entry["kind"], entry["frames"], entry["outputs"]) == ("video", 4, ["out/v.mp4"])
    assert sum(entry["shares"].values()) == pytest.approx(1, abs=1e-4)
    with av.open("out/v.mp4") as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    with Video("v.mp4") as video:
        originals = [frame.image for frame in video]
    segmenter = Segmenter(model)
    assert len(frames) == 4
    for frame, original in zip(frames, originals, strict=True):
        assert np.abs(frame.astype(int) - segmenter(original).overlay()).mean() < 8


def test_bad_files_among_good_ones(folder, model, capsys):
    (folder / "in" / "b.png").write_bytes(b"no picture")
    (folder / "in" / "c.mp4").write_bytes(b"no video")
    assert cli.run(["segment", "in", "-o", "out", "--model", model, "--json"]) == 1
    out, err = capsys.readouterr()
    assert [line.split(":")[1].strip() for line in err.splitlines()] == ["cannot read in/b.png", "cannot read in/c.mp4"]
    entries = {entry["input"]: entry for entry in json.loads(out)["inputs"]}
    assert [name for name, entry in entries.items() if "error" in entry] == ["in/b.png", "in/c.mp4"]
    assert "outputs" not in entries["in/b.png"]
    assert files("out") == ["a.png", "a_overlay.png", "deep/ü.png", "deep/ü_overlay.png"]


def test_a_video_that_is_cut_off_is_read_as_far_as_it_goes_with_a_warning(folder, model, capsys):
    write_clip(Path("v.mkv"), range(30))
    data = Path("v.mkv").read_bytes()
    Path("v.mkv").write_bytes(data[: len(data) // 2])
    assert cli.run(["segment", "v.mkv", "-o", "out", "--model", model, "--json"]) == 0
    out, err = capsys.readouterr()
    (entry,) = json.loads(out)["inputs"]
    assert 5 < entry["frames"] < 30
    assert entry["warning"] == f"it ends after {entry['frames'] / 30:.1f} s of 1.0"
    assert err == f"icnet: v.mkv: {entry['warning']}\n"


def test_nothing_but_bad_files(folder, model, capsys):
    Path("bad.png").write_bytes(b"")
    assert cli.run(["segment", "bad.png", "-o", "out", "--model", model]) == 2
    assert "the file is empty" in capsys.readouterr().err
    assert files("out") == []
    assert ["the file is empty" in line["error"] for line in report()] == [True]


@pytest.mark.parametrize("given", ["nowhere", "*.gif", "empty"])
def test_missing_or_empty_input_ends_before_any_work(folder, model, capsys, given):
    Path("empty").mkdir()
    assert cli.run(["segment", "in", given, "-o", "out", "--model", model]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert not Path("out").exists()


def test_a_second_run_does_not_take_its_own_results(folder, model):
    for _ in range(2):
        assert cli.run(["segment", "**/*.png", "-o", "out", "--model", model, "--classes-only"]) == 0
        assert files("out") == ["in/a.png", "in/deep/ü.png"]


def test_two_formats_of_one_name_are_both_segmented(folder, model):
    (folder / "in" / "a.jpg").write_bytes(cv2.imencode(".jpg", PICTURE)[1].tobytes())
    assert cli.run(["segment", "in", "-o", "out", "--model", model, "--classes-only"]) == 0
    assert files("out") == ["a.jpg.png", "a.png.png", "deep/ü.png"]


def test_a_result_that_cannot_be_written_is_reported_and_the_rest_goes_on(folder, model, capsys):
    write_png(Path("in/b.png"), PICTURE)
    write_video("in/v.mp4")
    Path("out/b.png").mkdir(parents=True)
    Path("out/v.partial.mp4").mkdir()
    assert cli.run(["segment", "in", "-o", "out", "--model", model, "--json"]) == 1
    out, err = capsys.readouterr()
    assert [line.partition(": ")[2].partition(": ")[0] for line in err.splitlines()] == [
        "cannot write out/b.png",
        "cannot write out/v.mp4",
    ]
    entries = json.loads(out)["inputs"]
    assert [entry["input"] for entry in entries if "error" in entry] == ["in/b.png", "in/v.mp4"]
    assert Path("out/deep/ü.png").exists()


def test_a_full_disk_ends_the_work_with_a_report(folder, model, capsys, monkeypatch):
    write_png(Path("in/b.png"), PICTURE)

    def full(path: Path, picture: np.ndarray, **_: object) -> None:
        if path.name == "b.png":
            raise OutputError("cannot write out/b.png: No space left on device")
        write_png(path, picture)

    monkeypatch.setattr("icnet.media.outputs.write_png", full)
    assert cli.run(["segment", "in", "-o", "out", "--model", model, "--json"]) == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    entries = json.loads(out)["inputs"]
    assert [entry["input"] for entry in entries] == ["in/a.png", "in/b.png", "in/deep/ü.png"]
    assert [entry.get("error", "")[:12] for entry in entries] == ["", "cannot write", "not tried af"]
    assert not Path("out/deep").exists()


def test_seconds_without_a_camera_are_refused(folder, model, capsys):
    assert cli.run(["segment", "in", "-o", "out", "--model", model, "--seconds", "2"]) == 2
    assert "--seconds ends a camera's recording, but no input is a camera" in capsys.readouterr().err
    assert not Path("out").exists()


def test_results_beside_the_inputs_are_refused(folder, model, capsys):
    before = Path("in/a.png").read_bytes()
    assert cli.run(["segment", "in", "-o", "in", "--model", model]) == 2
    assert "would overwrite the input" in capsys.readouterr().err
    assert Path("in/a.png").read_bytes() == before


class EndlessCapture:
    """A camera on which somebody presses Ctrl-C after the sixth picture."""

    def __init__(self, number: int):
        self.read_so_far = 0

    def isOpened(self) -> bool:
        return True

    def get(self, _: int) -> float:
        return 25.0

    def read(self):
        self.read_so_far += 1
        if self.read_so_far == 6:
            handler = signal.getsignal(signal.SIGINT)
            assert callable(handler)
            handler(signal.SIGINT, None)  # a real signal can end a worker of pytest-xdist; test_signals.py sends real ones
        return True, PICTURE

    def release(self) -> None:
        pass


def test_ctrl_c_ends_a_recording_with_a_good_file(folder, model, capsys, monkeypatch):
    monkeypatch.setattr(connections.cv2, "VideoCapture", EndlessCapture)
    handler = signal.getsignal(signal.SIGINT)
    assert cli.run(["segment", "0", "-o", "out", "--model", model, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["inputs"]
    assert (entry["input"], entry["kind"], entry["outputs"]) == ("0", "camera", ["out/camera0.mp4"])
    assert entry["frames"] + entry["dropped"] >= 3
    with av.open("out/camera0.mp4") as container:
        assert len(list(container.decode(video=0))) == entry["frames"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_endless_camera_is_given_alone(folder, model, capsys):
    assert cli.run(["segment", "0", "in", "-o", "out", "--model", model]) == 2
    assert "--seconds" in capsys.readouterr().err


def test_camvid_pictures(camvid_root, tmp_path, model):
    (some, *_) = sorted((camvid_root / "val").glob("*.png"))
    assert cli.run(["segment", str(some), "-o", str(tmp_path / "out"), "--model", model, "--classes-only"]) == 0
    assert read(str(tmp_path / "out" / some.name)).shape == (360, 480)
