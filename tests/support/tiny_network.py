"""A tiny network, and pictures that it can learn in seconds."""

import dataclasses

import cv2
import numpy as np

from icnet.base.classes import CAMVID, Classes
from icnet.base.sample import Sample
from icnet.network.spec import DENSE, IcnetSpec, LiteSpec

TINY = dataclasses.replace(
    DENSE,
    name="tiny",
    stem=(8, 8, 8),
    stage2=(4, 8),
    stage3=(4, 16),
    stage4=(8, 24),
    stage5=(8, 32),
    blocks=(1, 2, 1, 1),
    pyramid=16,
    detail=(8, 8, 8),
    fusion=16,
    size_hw=(96, 128),
)

SMALL = dataclasses.replace(TINY, size_hw=(64, 96))
"""`TINY` on a smaller picture."""

WIDE = dataclasses.replace(
    SMALL,
    name="wide",
    stem=(12, 12, 16),
    stage2=(8, 12),
    stage3=(8, 24),
    stage5=(8, 40),
    pyramid=24,
    detail=(12, 8, 12),
    fusion=24,
)
"""A wider network than `SMALL`."""

TINY_LITE = LiteSpec(
    name="tiny-lite",
    stem=8,
    trunk=((0, 3, 1, 8), (16, 3, 2, 8), (16, 3, 1, 8), (16, 5, 2, 16), (24, 3, 2, 16), (24, 5, 1, 16), (24, 5, 2, 24)),
    scale=0.75,
    fusion=(24, 16, 16, 8, 8),
    size_hw=(96, 128),
)

NARROW = IcnetSpec(
    name="tiny",
    stem=(8, 8, 16),
    stage2=(8, 16),
    stage3=(8, 24),
    stage4=(8, 24),
    stage5=(8, 32),
    blocks=(1, 2, 1, 1),
    pyramid=16,
    detail=(8, 8, 16),
    fusion=16,
    size_hw=(80, 112),
)


class Blocks:
    """Labelled pictures of coloured rectangles, which even a tiny network learns: colour tells the class."""

    def __init__(self, count: int, seed: int = 0, size_hw: tuple[int, int] = (48, 64)):
        self.count, self.seed, self.size_hw = count, seed, size_hw
        self.read: set[int] = set()

    @property
    def classes(self) -> Classes:
        return CAMVID

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        self.read.add(index)
        generator = np.random.default_rng([self.seed, index])
        labels = np.zeros(self.size_hw, np.uint8)
        for value in (3, 5, 8):
            y, x = generator.integers(0, [side // 2 for side in self.size_hw])
            cv2.rectangle(labels, (int(x), int(y)), (int(x) + 24, int(y) + 18), value, -1)
        colours = np.array(
            [(250, 200, 180), (0,) * 3, (0,) * 3, (60, 60, 60), (0,) * 3, (20, 160, 20), (0,) * 3, (0,) * 3, (30, 30, 220)]
        )
        image = colours[labels] + generator.normal(0, 6, (*self.size_hw, 1))
        return Sample(f"blocks_{index}", np.clip(image, 0, 255).astype(np.uint8), labels)
