#!/usr/bin/env python3
"""Time of one training step of a network on each backend and in bfloat16, in turn, so that drift hits all alike.

usage: python tools/step_time.py icnet-lite icnet-camvid-ava-compact-60-0001 --crop 352x480 --batch-size 4 --rounds 3

It wants an otherwise idle machine. A round is a process for each, which takes some steps and then times twelve.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

WAYS = (("tensorflow", "float32"), ("torch", "float32"), ("torch", "bfloat16"))
"""Backend and precision; the first is what the others are compared with."""

STEP = """
import json, sys, time
import keras, numpy as np
from icnet.network.spec import preset
from icnet.data.cells import class_counts
from icnet.training.average import WeightAverage
from icnet.training.objective import objective
from icnet.training.recipe import Recipe
from icnet.training.steps import optimizer_step

model, precision, height, width, size = *sys.argv[1:3], *map(int, sys.argv[3:])
made = objective(preset(model), Recipe(precision=precision), [(height, width)], np.arange(1, 13))
step = optimizer_step(made, WeightAverage(made.models[0].trainable_variables, 0.998))
generator, times, losses = np.random.default_rng(0), [], []
for number in range(1, 17):
    images = generator.integers(0, 256, (size, height, width, 3)).astype(np.uint8)
    counts = class_counts(generator.integers(0, 12, (size, height, width)).astype(np.uint8), 12)
    start = time.perf_counter()
    losses += step.run(number, images, counts, 1e-4)
    times.append(time.perf_counter() - start)
print(json.dumps({"seconds": times[4:], "loss": losses[0][1]}))
"""


def measured(model: str, backend: str, precision: str, crop_hw: tuple[int, int], batch_size: int) -> dict:
    """Times of the steps of one process, and its first loss."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", STEP, model, precision, *map(str, (*crop_hw, batch_size))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a line for each model and backend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--crop", default="352x480")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    height, width = map(int, args.crop.split("x"))
    for model in args.models:
        seconds: dict[tuple[str, str], list[float]] = {way: [] for way in WAYS}
        for _ in range(args.rounds):
            for way, times in seconds.items():
                times.append(statistics.median(measured(model, *way, (height, width), args.batch_size)["seconds"]))
        first = seconds[WAYS[0]]
        for way, times in seconds.items():
            ratios = [other / one for one, other in zip(times, first, strict=True)]
            shown = " ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
            print(f"{model:36s} {' '.join(way):20s} {1e3 * statistics.median(times):7.0f} ms, times as fast: {shown}")


if __name__ == "__main__":
    main()
