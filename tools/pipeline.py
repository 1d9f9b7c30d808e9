#!/usr/bin/env python3
"""`icnet segment` on a video: its speed against the network alone, its memory, and the time to the first mask.

usage: python tools/pipeline.py [--frames 1000] [--size 960x720] [--rounds 3]

It films the synthetic street, back and forth, and wants an otherwise idle machine with Linux' /proc. The rate of the network
alone is that of `Engine.stream` with as many streams as `segment` uses, in a process of its own before every run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import cv2

from icnet.media.sinks import video_sink
from icnet.network.spec import DEFAULT_MODEL
from icnet.street.drive import StreetDrive, StreetOptions

PICTURES = 40
"""Different frames of the clip."""

ALONE = """
import sys, time
import numpy as np
from icnet.runtime.engine import Engine, EngineOptions

engine = Engine(sys.argv[1], EngineOptions(streams=2, cache=True))
data = np.random.default_rng(0).integers(0, 256, (1, *engine.size_hw, 3), dtype=np.uint8)
for count in (20, 200):
    start = time.perf_counter()
    for _ in engine.stream(range(count), lambda number: data):
        pass
    rate = count / (time.perf_counter() - start)
print(rate)
"""

FIRST = """
import time
start = time.perf_counter()
import numpy as np
from icnet import Segmenter
segmenter = Segmenter()
segmenter(np.zeros((720, 960, 3), np.uint8))
print(time.perf_counter() - start, segmenter.engine.from_cache)
"""


def film(path: Path, frames: int, size_wh: tuple[int, int]) -> None:
    """Write the clip."""
    drive = StreetDrive(StreetOptions())
    pictures = [cv2.resize(drive[index].image, size_wh) for index in range(PICTURES)]
    with video_sink(path, rate=Fraction(25)) as video:
        for number in range(frames):
            place = number % (2 * PICTURES - 2)
            video.write(pictures[place if place < PICTURES else 2 * PICTURES - 2 - place], number / 25)


def watched(command: list[str]) -> tuple[dict, float, list[tuple[float, float]]]:
    """Run a command with JSON on stdout: the document, the seconds, and (seconds, resident MB) while it ran."""
    start, log = time.perf_counter(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                break
            log.append((time.perf_counter() - start, pages * 4096 / 1e6))
            time.sleep(0.05)
        assert process.stdout is not None
        document = json.loads(process.stdout.read())
    return document, time.perf_counter() - start, log


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", default="960x720", help="width x height of the clip")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        clip, out = Path(folder, "clip.mp4"), Path(folder, "out")
        film(clip, args.frames, (width, height))
        starts = [subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True) for _ in range(6)]
        cached = starts[-1].stdout.split()[1]
        seconds = [float(start.stdout.split()[0]) for start in starts[1:]]
        print(f"first mask after {statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s (cached: {cached})")
        shares = []
        for _ in range(args.rounds):
            done = subprocess.run([sys.executable, "-c", ALONE, DEFAULT_MODEL], capture_output=True, text=True, check=True)
            alone = float(done.stdout)
            command = [sys.executable, "-m", "icnet", "segment", str(clip), "-o", str(out), "--json"]
            document, elapsed, log = watched(command)
            rate = 1000 / document["inputs"][0]["ms"]
            shares.append(rate / alone)
            resident = [min(log, key=lambda item: abs(item[0] - elapsed * part))[1] for part in (0.1, 0.95)]
            print(
                f"{args.size}: the network alone {alone:.1f} frames/s, the program {rate:.1f} ({rate / alone:.0%}); "
                f"{args.frames} frames in {elapsed:.1f} s with its start; resident {resident[0]:.0f} MB after a tenth, "
                f"{resident[1]:.0f} MB near the end, {max(size for _, size in log):.0f} MB at most"
            )
        print(f"the program has {statistics.median(shares):.0%} of the rate of the network alone (median)")


if __name__ == "__main__":
    main()
