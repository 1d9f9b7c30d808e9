"""Fixtures that all tests share, and the place where CamVid may lie."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_network import NARROW, TINY, Blocks

from icnet.network.weights import Weights, random_weights

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "torch")  # the quickest with tiny networks; test_backends.py has the others
os.environ.setdefault("OMP_NUM_THREADS", "1")  # each worker of pytest-xdist has one core

CAMVID = Path(os.environ.get("ICNET_CAMVID", Path(__file__).resolve().parents[2] / "shared" / "camvid"))


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory) -> None:
    """No test writes into the user's cache."""
    os.environ["ICNET_CACHE"] = str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(autouse=True)
def trusted_models(request, monkeypatch) -> None:
    """Models of this process are not tried in another one first, which takes a second each, but where that is tested."""
    if "tried" not in request.keywords:
        monkeypatch.setattr("icnet.runtime.ir.try_out", lambda stored: None)


@pytest.fixture
def seed() -> int:
    """Of damage and of moments: the same at every run, but for `tools/torture.py`."""
    return int(os.environ.get("ICNET_TEST_SEED", "0"))


@pytest.fixture(scope="session")
def blocks() -> type[Blocks]:
    return Blocks


@pytest.fixture
def tiny():
    """A network of a few thousand weights."""
    return TINY


@pytest.fixture
def eager(monkeypatch) -> None:
    """Models train without a compiled graph, which takes longer to make than a few steps of a tiny network."""
    import keras

    compile = keras.Model.compile
    monkeypatch.setattr(
        keras.Model, "compile", lambda model, *rest, **given: compile(model, *rest, **given | {"run_eagerly": True})
    )


@pytest.fixture
def camvid_root() -> Path:
    if not CAMVID.is_dir():
        pytest.skip(f"CamVid is not at {CAMVID}: set ICNET_CAMVID to its folder")
    return CAMVID


@pytest.fixture(scope="session")
def weights() -> Weights:
    """Made-up ones of a narrow network."""
    return random_weights(NARROW, seed=3)


@pytest.fixture(scope="session")
def frames() -> list[np.ndarray]:
    """Pictures with smooth areas, edges and noise."""
    generator = np.random.default_rng(0)
    pictures = []
    for _ in range(3):
        areas = cv2.resize(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
        noise = generator.integers(-8, 9, areas.shape)
        pictures.append(np.clip(areas + noise, 0, 255).astype(np.uint8))
    return pictures
