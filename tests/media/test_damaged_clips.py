"""Damaged videos: read as far as they go or refused, never a crash and never a hang."""

import collections
from pathlib import Path

import pytest
from clip_files import write_clip
from hostile import judge, mutated

COPY = """
import tempfile, pathlib
from contextlib import ExitStack
from icnet.media.sinks import video_sink
from icnet.media.sound import Sound
from icnet.media.video import Video

folder = tempfile.TemporaryDirectory()

def attempt(path):
    with Video(path) as video, Sound(path) as sound:
        with video_sink(pathlib.Path(folder.name, "out.mp4"), rate=video.rate, sound=sound) as sink:
            count = 0
            for count, frame in enumerate(video, 1):
                sink.write(frame.image, frame.time_s)
    return f"{count} frames, {video.damaged} and {sound.damaged} damaged"
"""

KINDS = {
    "v.mp4": {"sound": "aac"},
    "v.mkv": {"sound": "flac"},
    "v.avi": {"codec": "mjpeg", "sound": "pcm_s16le"},
    "v.ts": {"sound": "aac"},
    "v.mov": {"codec": "mpeg4", "sound": "pcm_s16le"},
    "v.flv": {"codec": "flv", "sound": "libmp3lame"},
    "v.mpg": {"codec": "mpeg1video"},
}


def damaged(folder: Path, seeds: range) -> list[Path]:
    clips = []
    for name, options in KINDS.items():
        write_clip(folder / name, range(20), **options)
        clips.append((folder / name).read_bytes())
    paths = []
    for seed in seeds:
        number = seed % len(clips)
        paths.append(folder / f"seed{seed}{Path(list(KINDS)[number]).suffix}")
        paths[-1].write_bytes(mutated(clips[number], seed))
    return paths


@pytest.mark.parametrize("count", [28, pytest.param(200, marks=pytest.mark.whole)])
def test_damaged_videos_are_read_as_far_as_they_go_or_refused(tmp_path, count, seed, record_property):
    seeds = range(count * seed, count * (seed + 1))
    verdicts = judge(damaged(tmp_path, seeds), COPY)
    assert len(verdicts) == len(seeds)
    counts = collections.Counter(verdict.outcome for verdict in verdicts)
    slowest = max(verdicts, key=lambda verdict: verdict.seconds)
    record_property("cases", count)
    record_property("figure", f"{counts['read']} of {count} read, slowest {slowest.seconds:.2f} s ({Path(slowest.path).name})")
    assert [verdict for verdict in verdicts if verdict.outcome not in ("read", "refused")] == []
    assert min(counts["read"], counts["refused"]) > len(seeds) // 20, "the damage should be of both kinds"
    assert slowest.seconds < 10


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("raise ValueError('x')", "fault"), ("os.abort()", "crash"), ("time.sleep(60)", "hang"), ("return 1", "read")],
)
def test_the_judge_notices(tmp_path, fault, outcome):
    code = f"import os, time\ndef attempt(path):\n    if path.endswith('1'): {fault}\n"
    paths = [tmp_path / str(number) for number in range(3)]
    verdicts = judge(paths, code, hang_s=1)
    assert [verdict.outcome for verdict in verdicts] == ["read", outcome, "read"]
