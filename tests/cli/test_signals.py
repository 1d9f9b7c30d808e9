"""Videos whose program is told to end, or killed."""

import json
import random
import signal
import threading
import time
from pathlib import Path

import av
import pytest
from clip_files import write_clip
from segment_runs import start, tiny_model

from icnet.cli.terminal import interrupt_sets

RATE = 30
FRAMES, MOST = 2000, 500
"""Of the clip, and before the signal: it must not come to its end meanwhile."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "v.mp4"
    write_clip(path, range(FRAMES), sound="aac")
    return path


@pytest.fixture
def folder(tiny, clip, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path, tiny)
    Path("v.mp4").symlink_to(clip)
    return tmp_path


def played(path: Path) -> tuple[int, float]:
    """Frames of a video that can be decoded, and seconds of its sound."""
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        return frames, samples / container.streams.audio[0].rate


def run_until(frames: int, number: int, *options: str) -> int:
    """Start, send the signal when about that many frames are written, and give the exit code."""
    with start("v.mp4", *options) as process:
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end and written() < frames:
            time.sleep(0.002)
        process.send_signal(number)
        return process.wait(30)


def written() -> int:
    """Frames that are in the video according to what is written right after them: rows of the table, or class maps."""
    table, maps = Path("t.partial.csv"), Path("out/v.partial")
    rows = len(table.read_bytes().splitlines()) - 1 if table.exists() else 0
    return max(rows, sum(1 for _ in maps.iterdir()) if maps.exists() else 0)


REPEATS = pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.whole) for seed in range(1, 10))])


@REPEATS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_ended_video_is_complete_up_to_its_last_frame(folder, number, seed):
    goal = random.Random(seed).randint(60, MOST)
    assert run_until(goal, number, "--stats", "t.csv") == 128 + number
    (entry,) = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    assert entry["interrupted"] is True
    assert goal <= entry["frames"] < FRAMES
    frames, seconds = played(Path("out/v.mp4"))
    assert frames == entry["frames"]
    assert seconds == pytest.approx(frames / RATE, abs=0.1)
    assert sorted(path.name for path in Path("out").iterdir()) == ["report.jsonl", "v.mp4"]
    assert len(Path("t.csv").read_text().splitlines()) == frames + 1


@REPEATS
def test_a_killed_video_plays_up_to_its_last_two_seconds(folder, seed):
    goal = random.Random(seed).randint(90, MOST)
    assert run_until(goal, signal.SIGKILL, "--write", "classes,overlay") == -signal.SIGKILL
    assert sorted(path.name for path in Path("out").iterdir()) == ["v.partial", "v.partial.mp4"]
    frames, seconds = played(Path("out/v.partial.mp4"))
    lost = written() - frames
    print(f"\nkilled after {written()} frames: {lost} of them lost, {frames / RATE - seconds:.2f} s of sound")
    assert goal <= frames + lost < FRAMES
    assert lost <= 2 * RATE
    assert seconds >= frames / RATE - 2


def test_an_interrupted_video_is_done_again_by_resume(folder):
    Path("v.mp4").unlink()
    write_clip(Path("v.mp4"), range(400), sound="aac")
    assert run_until(60, signal.SIGTERM, "--stats", "t.csv") == 128 + signal.SIGTERM
    assert start("v.mp4", "--stats", "t.csv", "--resume").wait(60) == 0
    (entry,) = [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]
    assert "interrupted" not in entry
    assert entry["frames"] == played(Path("out/v.mp4"))[0] == 400
    assert len(Path("t.csv").read_text().splitlines()) == 401


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as the shell does for a background job of a script
    try:
        with interrupt_sets(threading.Event()):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)
