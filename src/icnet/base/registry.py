"""The weights that ship in the wheel, and how a model name or path becomes weights."""

from pathlib import Path

from icnet.base.errors import ModelError
from icnet.base.spec import PRESETS
from icnet.base.weights import Weights, load_weights

FOLDER = Path(__file__).resolve().parent.parent / "weights"
"""Where the bundled weight files and their model cards lie."""

SHA256: dict[str, str] = {
    "icnet-camvid-ava-compact-60-0001": "29178f89c02188a94e1ebd0959af98830106d6510ba3227898d0a516891cbfc1",
    "icnet-camvid-ava-sparse-60-0001": "468cc5998e3cea75fd4c1733b78c5786a6cbfb1e1789c5974336bbc6a8c5b161",
}
"""Bundled model name to the SHA-256 of `<FOLDER>/<name>.safetensors`, checked at every load."""


def bundled_path(name: str) -> Path:
    """The bundled weight file of a published model.

    Raises:
        ModelError: the name is unknown, or its weights are not in this version.
    """
    if name not in PRESETS:
        raise ModelError(
            f"unknown model {name!r}: choose one of {', '.join(PRESETS)}, or give the path of a .safetensors or .xml file"
        )
    if name not in SHA256:
        have = ", ".join(SHA256) or "none"
        raise ModelError(f"no trained weights of {name} come with this version (bundled: {have}): train them with `icnet train`")
    return FOLDER / f"{name}.safetensors"


def find_weights(model: str) -> Weights:
    """Load the weights of a bundled model's name or of a `.safetensors` path.

    Raises:
        ModelError: nothing fits `model`, or the file is damaged.
    """
    path = Path(model)
    if path.suffix == ".safetensors":
        return load_weights(path)
    return load_weights(bundled_path(model), sha256=SHA256[model])
