"""Running `icnet segment` as users do, in a process of its own, on a network of a few thousand weights."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from icnet.network.weights import random_weights, save_weights


def tiny_model(folder: Path, spec) -> None:
    """Write `tiny.safetensors`."""
    save_weights(folder / "tiny.safetensors", random_weights(spec, seed=1))


def picture(number: int) -> np.ndarray:
    """A (48, 64, 3) picture that differs from all others."""
    areas = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(areas, (64, 48), interpolation=cv2.INTER_CUBIC)


def start(*arguments: str, output: str = "out") -> subprocess.Popen:
    """`icnet segment` with the tiny model; stderr is kept in `stderr.txt`."""
    command = [sys.executable, "-m", "icnet", "segment", *arguments, "-o", output, "--model", "tiny.safetensors"]
    with open("stderr.txt", "ab") as errors:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
