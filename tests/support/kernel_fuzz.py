"""Runs a build of the C kernels, with sanitizers in it, on many odd sizes and values and compares it with NumPy.

usage: LD_PRELOAD=$(cc -print-file-name=libasan.so) python kernel_fuzz.py LIBRARY SECONDS [SEED]
"""

import ctypes
import sys
import time

import numpy as np

from icnet.runtime import kernels

SIZES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 97)
ODD = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 0, -0.0], np.float32)


def results(where: kernels.Map, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, confidence in them, and confidence in classes at random."""
    shape, rng = (stop, len(where.columns.before)), np.random.default_rng(0)
    classes, sure, unsure = (np.zeros(shape, np.uint8) for _ in range(3))
    kernels.argmax_rows(where, start, stop, classes)
    kernels.softmax_rows(where, start, stop, classes, sure)
    kernels.softmax_rows(where, start, stop, rng.integers(0, len(where.scores), shape, np.uint8), unsure)
    return classes, sure, unsure


def case(rng: np.random.Generator) -> tuple[kernels.Map, int, int]:
    """Scores of any count, size and kind, and a strip of rows."""
    (height, width, rows, columns), count = rng.choice(SIZES, 4), rng.choice([1, 2, 12, 32, 255])
    scores = (rng.standard_normal((count, height, width)) * rng.choice([0, 1, 30, 1e4])).astype(np.float32)
    if rng.random() < 0.3:
        scores[rng.random(scores.shape) < 0.1] = rng.choice(ODD)
    start = int(rng.integers(0, rows))
    stop = int(rng.integers(start, rows + 1))
    return kernels.Map(scores, kernels.taps(int(height), int(rows)), kernels.taps(int(width), int(columns))), start, stop


def main(library: str, seconds: str, seed: str = "0") -> None:
    compiled, deadline, number = ctypes.CDLL(library), time.monotonic() + float(seconds), 0
    while time.monotonic() < deadline or number < 50:
        where, start, stop = case(np.random.default_rng([int(seed), number]))
        kernels._library = lambda: compiled
        found = results(where, start, stop)
        kernels._library = lambda: None
        if np.abs(where.scores).max() < 1e6:  # of others, NumPy's warnings and results say nothing
            for name, ours, expected in zip(("classes", "confidence", "random"), found, results(where, start, stop), strict=True):
                close = ours == expected if name == "classes" else np.abs(ours.astype(int) - expected) <= 1
                assert np.sum(~close) <= 0.001 * close.size, (
                    f"{name} differ: case {number} of seed {seed}, {where.scores.shape} to {ours.shape}"
                )
        number += 1
    print(number, "cases")


if __name__ == "__main__":
    main(*sys.argv[1:])
