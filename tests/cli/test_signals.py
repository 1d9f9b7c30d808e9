"""Videos whose program is told to end, or killed."""

import json
import random
import signal
import time
from pathlib import Path

import av
import pytest
from clip_files import write_clip
from segment_runs import start, tiny_model

RATE = 30
FRAMES = 3000


@pytest.fixture
def folder(tiny, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path, tiny)
    write_clip(Path("v.mp4"), range(FRAMES), sound="aac")
    return tmp_path


def played(path: Path) -> tuple[int, float]:
    """Frames of a video that can be decoded, and seconds of its sound."""
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        return frames, samples / container.streams.audio[0].rate


def run_until(frames: int, number: int, *, resume: bool = False) -> int:
    """Start, send the signal when about that many frames are written, and give the exit code."""
    partial = Path("out/v.partial.mp4")
    with start("v.mp4", "--stats", "t.csv", *(["--resume"] if resume else [])) as process:
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end and not (partial.exists() and fragments(partial) * 15 >= frames):
            time.sleep(0.002)
        process.send_signal(number)
        return process.wait(30)


def fragments(path: Path) -> int:
    return path.read_bytes().count(b"moof")


REPEATS = pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.whole) for seed in range(1, 10))])


@REPEATS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_ended_video_is_complete_up_to_its_last_frame(folder, number, seed):
    goal = random.Random(seed).randint(60, 900)
    assert run_until(goal, number) == 128 + number
    (entry,) = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    assert entry["interrupted"] is True
    assert goal - 30 <= entry["frames"] < FRAMES
    frames, seconds = played(Path("out/v.mp4"))
    assert frames == entry["frames"]
    assert seconds == pytest.approx(frames / RATE, abs=0.1)
    assert sorted(path.name for path in Path("out").iterdir()) == ["report.jsonl", "v.mp4"]
    assert len(Path("t.csv").read_text().splitlines()) == frames + 1


@REPEATS
def test_a_killed_video_plays_up_to_its_last_two_seconds(folder, seed):
    goal = random.Random(seed).randint(90, 900)
    assert run_until(goal, signal.SIGKILL) == -signal.SIGKILL
    assert not Path("out/v.mp4").exists(), "what is not finished does not have its name"
    rows = 0
    if Path("t.partial.csv").exists():
        rows = len(Path("t.partial.csv").read_text().splitlines()) - 1
    frames, seconds = played(Path("out/v.partial.mp4"))
    assert frames >= max(goal, rows) - 2 * RATE
    assert seconds >= frames / RATE - 2


def test_an_interrupted_video_is_done_again_by_resume(folder):
    write_clip(Path("v.mp4"), range(400), sound="aac")
    assert run_until(60, signal.SIGTERM) == 128 + signal.SIGTERM
    assert start("v.mp4", "--stats", "t.csv", "--resume").wait(60) == 0
    (entry,) = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    assert "interrupted" not in entry
    assert entry["frames"] == played(Path("out/v.mp4"))[0] == 400
    assert len(Path("t.csv").read_text().splitlines()) == 401
