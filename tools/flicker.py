#!/usr/bin/env python3
"""How steady the class maps of a film are, without and with `icnet.runtime.smooth`, and what that does to the accuracy.

usage: python tools/flicker.py --data CamVid [--split val] [--every N] [--shuffle] [--model NAME] [--sweep] [--json]

Flicker is the share of the pixels that change class between two frames although their truth is labelled and the same in both. Val
is one film of 15 frames a second. The scores are those of `icnet evaluate`. The times are those of the smoother alone, for the
median frame, and want an otherwise idle machine.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from icnet.base.classes import CAMVID
from icnet.base.errors import DataError
from icnet.data.camvid import CamVid
from icnet.evaluation.accuracy import PROTOCOL_HW
from icnet.evaluation.scores import Scores, confusion_matrix, scores
from icnet.network.spec import DEFAULT_MODEL
from icnet.runtime import smooth
from icnet.runtime.decode import decode
from icnet.runtime.engine import Engine
from icnet.runtime.preprocess import resize_frame
from icnet.runtime.smooth import Smoother

SWEEP = {"KEEP": (0.5, 0.6, 0.8, 0.9), "SAME": (1.0, 2.0, 4.0, 6.0), "OTHER": (8.0, 10.0, 16.0, 20.0), "CUT": (0.3, 0.7, 1.0)}
"""Other values of the smoother's constants, each tried alone."""


@dataclass(frozen=True, eq=False)
class Flicker:
    """Pixels of consecutive frames whose truth is the same labelled class in both, by that class."""

    pixels: np.ndarray
    """(11,) int64, how many there are."""
    changed: np.ndarray
    """(11,) int64, how many of them were given another class than in the frame before."""

    @property
    def share(self) -> float:
        """Fraction of the pixels that changed; NaN if there are none."""
        pixels = int(self.pixels.sum())
        return int(self.changed.sum()) / pixels if pixels else float("nan")

    def shares(self) -> dict[str, float]:
        """Class name to the fraction of its pixels that changed; without the classes that have none."""
        counts = zip(CAMVID.names, self.changed, self.pixels, strict=False)
        return {name: int(changed) / int(pixels) for name, changed, pixels in counts if pixels}


def flicker(frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Flicker:
    """Count over all pairs of consecutive frames.

    Args:
        frames: truth and predicted classes of each frame in order, both integer of one shape, the same for all frames.

    Returns:
        The counts, summed over the pairs.

    Raises:
        DataError: there are fewer than two frames, or one has another size.
    """
    pixels, changed = np.zeros(len(CAMVID.scored), np.int64), np.zeros(len(CAMVID.scored), np.int64)
    pairs = 0
    for (truth_before, before), (truth, after) in pairwise(frames):
        if not truth_before.shape == before.shape == truth.shape == after.shape:
            raise DataError(f"a frame is {after.shape}, the one before {before.shape}: a film has frames of one size")
        same = truth[(truth == truth_before) & (truth != CAMVID.void)]
        other = truth[(truth == truth_before) & (truth != CAMVID.void) & (after != before)]
        pixels += np.bincount(same, minlength=len(CAMVID.scored))
        changed += np.bincount(other, minlength=len(CAMVID.scored))
        pairs += 1
    if not pairs:
        raise DataError("flicker is a change between two frames: give a film of at least two")
    return Flicker(pixels, changed)


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of the film after the network."""

    data: np.ndarray
    """(1, H, W, 3) uint8 BGR."""
    raw: np.ndarray
    """Scores of the network."""
    truth: np.ndarray
    """(720, 960) uint8."""


def film(camvid: CamVid, engine: Engine, every: int) -> list[Frame]:
    """Run the network on every Nth frame in the order of the names, which must end in evenly spaced numbers."""
    samples = sorted((camvid[index] for index in range(len(camvid))), key=lambda sample: sample.name)[::every]
    steps = set(np.diff([int("".join(filter(str.isdigit, sample.name[-6:]))) for sample in samples]).tolist())
    if len(steps) != 1:
        raise SystemExit(f"{camvid.split} is not one film: its frame numbers differ by {sorted(steps)}")
    frames = []
    for sample in samples:
        data = resize_frame(sample.image, engine.size_hw)
        truth = cv2.resize(sample.labels, PROTOCOL_HW[::-1], interpolation=cv2.INTER_NEAREST)
        frames.append(Frame(data, engine.infer(data), truth))
    return frames


def measure(frames: list[Frame], engine: Engine, smoother: Smoother | None) -> tuple[Flicker, Scores, float]:
    """Flicker, accuracy, and the milliseconds that the smoother takes for the median frame."""
    maps, seconds = [], []
    for frame in frames:
        start = time.perf_counter()
        raw = frame.raw if smoother is None else smoother(frame.data, frame.raw)
        seconds.append(time.perf_counter() - start)
        maps.append((frame.truth, decode(raw, engine.output, PROTOCOL_HW)))
    total = sum(confusion_matrix(truth, classes, len(CAMVID)) for truth, classes in maps)
    return flicker(maps), scores(np.asarray(total), CAMVID), 1000 * statistics.median(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="use every Nth frame only: a camera that drops the others")
    parser.add_argument("--shuffle", action="store_true", help="in random order, so that every frame is a cut")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--sweep", action="store_true", help="also with other values of the smoother's constants")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = Engine(args.model)
    frames = film(CamVid(args.data, args.split), engine, args.every)
    if args.shuffle:
        frames = [frames[index] for index in np.random.default_rng(0).permutation(len(frames))]
    results = {"without": measure(frames, engine, None), "with": measure(frames, engine, Smoother())}
    for name, values in SWEEP.items() if args.sweep else ():
        default = getattr(smooth, name)
        for value in values:
            setattr(smooth, name, value)
            results[f"{name} {value}"] = measure(frames, engine, Smoother())
        setattr(smooth, name, default)
    if args.json:
        rows = {
            name: {
                "flicker": found.share,
                "flicker_of": found.shares(),
                "miou_strict": score.miou_strict,
                "iou": score.iou,
                "ms": ms,
            }
            for name, (found, score, ms) in results.items()
        }
        print(json.dumps({"model": engine.name, "split": args.split, "frames": len(frames), "results": rows}, indent=2))
        return
    before = results["without"][0].share
    print(f"{engine.name} on {len(frames)} frames of {args.split}")
    for name, (found, score, ms) in results.items():
        less = f"{found.share / before - 1:+7.1%}"
        print(f"{name:12}  flicker {found.share:7.3%} {less}  mIoU strict {score.miou_strict:.2%}  {ms:4.1f} ms")
    (old, old_score, _), (new, new_score, _) = results["without"], results["with"]
    print("class         flicker without    with   IoU without    with")
    for name, share in old.shares().items():
        print(f"{name:12}  {share:15.2%} {new.shares()[name]:7.2%} {old_score.iou[name]:13.2%} {new_score.iou[name]:7.2%}")


if __name__ == "__main__":
    main()
