from pathlib import Path

import pytest
from tiny_network import TINY

from icnet.network.weights import random_weights, save_weights


@pytest.fixture(scope="session")
def weight_file(tmp_path_factory) -> Path:
    """A model called `tiny`."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_weights(path, random_weights(TINY, seed=1))
    return path
