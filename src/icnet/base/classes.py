"""The twelve CamVid classes: names, palette and the void index.

Order and colours are those of `icnet-camvid-ava` in Open Model Zoo, so that maps are interchangeable.
"""

import numpy as np

NAMES: tuple[str, ...] = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Vehicle",
    "Pedestrian",
    "Bike",
    "Unlabeled",
)
"""Class names; the position is the class index."""

VOID: int = NAMES.index("Unlabeled")
"""Index of pixels without a label: they are never scored."""

SCORED: int = VOID
"""Number of classes that enter mIoU: indices 0 to 10."""

OUTSIDE: int = 255
"""Stands in training labels for what lies outside of the picture: nothing is learnt there, while void is a class like others."""

PALETTE_RGB = np.array(
    [
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
        (0, 0, 0),
    ],
    dtype=np.uint8,
)
"""(12, 3) uint8 RGB colour of each class."""
PALETTE_RGB.setflags(write=False)
