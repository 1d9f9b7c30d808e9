"""`-` for standard input and output of `icnet segment`."""

import csv
import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_files import write_clip
from segment_runs import picture, tiny_model

from icnet import Segmenter, cli
from icnet.media.video import Video
from icnet.results.png import png

MODEL = "tiny.safetensors"


@pytest.fixture(autouse=True)
def folder(tiny, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path, tiny)
    Path("a.png").write_bytes(png(picture(0)))
    write_clip(tmp_path / "v.mp4", range(3))
    return tmp_path


@pytest.fixture
def run(monkeypatch, capfdbinary):
    """Runs `icnet segment` with bytes as standard input; gives those of standard output, and the last line of the other."""

    def run(*arguments: str, send: bytes = b"", code: int = 0) -> tuple[bytes, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(send)))
        assert cli.run(["segment", *arguments, "--model", MODEL]) == code
        out, err = capfdbinary.readouterr()
        return out, err.decode().splitlines()[-1]

    return run


def test_a_picture_in_and_its_class_map_out(run, folder):
    before = set(folder.iterdir())
    out, line = run("-", "-o", "-", send=Path("a.png").read_bytes())
    classes = cv2.imdecode(np.frombuffer(out, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(classes, Segmenter(MODEL)(picture(0)).classes)
    assert line == "1 of 1 inputs segmented with tiny, results in standard output"
    document = json.loads(run("-", "-o", "-", "--write", "coco", send=Path("a.png").read_bytes())[0])
    assert [image["file_name"] for image in document["images"]] == ["stdin"]
    assert set(folder.iterdir()) == before, "nothing is left"


def test_a_video_in_and_numbers_or_results_out(run):
    with Video("v.mp4") as video:
        shares = [Segmenter(MODEL)(frame.image).shares() for frame in video]
    out, _ = run("-", "a.png", "-o", "-", "--write", "jsonl", send=Path("v.mp4").read_bytes())
    clip, still = map(json.loads, out.splitlines())
    assert (clip["input"], clip["kind"], clip["frames"], clip["outputs"]) == ("-", "video", 3, [])
    assert (still["input"], still["kind"]) == ("a.png", "image")
    out, _ = run("-", "-o", "-", "--stats", "-", send=Path("v.mp4").read_bytes())
    rows = list(csv.DictReader(io.StringIO(out.decode())))
    assert [(row["input"], row["frame"]) for row in rows] == [("./-", "0"), ("./-", "1"), ("./-", "2")]
    assert [float(row["Road"]) for row in rows] == pytest.approx([frame["Road"] for frame in shares], abs=1e-6)
    out, _ = run("-", "-o", "-", "--write", "overlay", send=Path("v.mp4").read_bytes())
    Path("overlay.mp4").write_bytes(out)
    with Video("overlay.mp4") as video:
        assert len(list(video)) == 3


def test_one_of_both_only(run):
    assert run("-", "-o", "out", send=Path("a.png").read_bytes())[1].endswith("results in out")
    assert {path.name for path in Path("out").iterdir()} == {"report.jsonl", "stdin.png", "stdin_overlay.png"}
    out, _ = run("a.png", "-o", "other", "--classes-only", "--stats", "-")
    assert len(out.splitlines()) == 2
    assert {path.name for path in Path("other").iterdir()} == {"report.jsonl", "a.png"}


@pytest.mark.parametrize(
    ("arguments", "send", "said"),
    [
        (("-", "-o", "-"), b"", "standard input is empty: send a picture or video into it"),
        (("-", "-o", "-"), b"\x89PNG\r\n\x1a\n no picture", "1 inputs segmented with tiny, no results"),
        (("a.png", "v.mp4", "-o", "-"), b"", "-o - takes one form of one input, and class maps of a picture only: give a folder"),
        (("v.mp4", "-o", "-"), b"", "-o - takes one form of one input, and class maps of a picture only: give a folder"),
        (("a.png", "-o", "-", "--json"), b"", "standard output takes one thing: leave out --json"),
        (("a.png", "-o", "-", "--write", "coco", "--stats", "-"), b"", "standard output takes one thing: leave out --write"),
        (("a.png", "-o", "out", "--write", "jsonl"), b"", "--write knows no jsonl"),
        (("-", "-o", "out"), b"#EXTM3U\nhttp://127.0.0.1/a.ts\n", "standard input is a playlist, which names other files"),
    ],
)
def test_mistakes_are_one_line(run, arguments, send, said):
    out, line = run(*arguments, send=send, code=2)
    assert out == b""
    assert said in line
    assert "icnet-" not in line, "no temporary name is shown"
