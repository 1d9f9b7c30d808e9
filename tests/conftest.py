"""Fixtures that all tests share, and the place where CamVid may lie."""

import os
from pathlib import Path

import pytest

from tiny_network import TINY, Blocks

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CAMVID = Path(os.environ.get("ICNET_CAMVID", Path(__file__).resolve().parents[2] / "shared" / "camvid"))


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory) -> None:
    """No test writes into the user's cache."""
    os.environ["ICNET_CACHE"] = str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture
def blocks() -> type[Blocks]:
    return Blocks


@pytest.fixture
def tiny():
    """A network of a few thousand weights."""
    return TINY


@pytest.fixture
def camvid_root() -> Path:
    if not CAMVID.is_dir():
        pytest.skip(f"CamVid is not at {CAMVID}: set ICNET_CAMVID to its folder")
    return CAMVID
