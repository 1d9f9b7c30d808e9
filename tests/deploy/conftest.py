"""A narrow network with made-up weights, and pictures with smooth areas, edges and noise."""

import cv2
import numpy as np
import pytest

from icnet.base.spec import IcnetSpec
from icnet.base.weights import Weights, random_weights
from tiny_network import Blocks

SPEC = IcnetSpec(
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


@pytest.fixture(scope="session")
def weights() -> Weights:
    return random_weights(SPEC, seed=3)


@pytest.fixture(scope="session")
def frames() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    pictures = []
    for _ in range(3):
        areas = cv2.resize(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
        noise = generator.integers(-8, 9, areas.shape)
        pictures.append(np.clip(areas + noise, 0, 255).astype(np.uint8))
    return pictures


@pytest.fixture(scope="session")
def blocks_split() -> type[Blocks]:
    """Labelled pictures: `blocks_split(count, seed)`."""
    return Blocks
