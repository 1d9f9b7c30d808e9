"""The trained weights of this project, and how a model name or path becomes weights."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from icnet.base.errors import ModelError
from icnet.hub.address import FORM, is_address
from icnet.hub.manifest import KINDS
from icnet.network.spec import PRESETS
from icnet.network.stored import Stored, read_stored
from icnet.network.weights import Weights, parse_weights

FOLDER = Path(__file__).resolve().parent.parent / "weights"
"""Where the bundled weight files and their model cards lie."""

SHA256: dict[str, str] = {
    "icnet-lite": "96335e87870c9361688a6800356d32856b0c2d34f3a858a373023efbf2500d1e",
    "icnet-lite-large": "48abb36bc1b9b7be0084fef1d4b3d5942990eaabaa1cbbf12ce92679dea1974d",
    "icnet-camvid-ava-compact-60-0001": "b94184df470892195774bb427ea40fd60e5002146eb36d4a76493566cb42db5e",
    "icnet-camvid-ava-sparse-60-0001": "468cc5998e3cea75fd4c1733b78c5786a6cbfb1e1789c5974336bbc6a8c5b161",
}
"""Bundled model name to the SHA-256 of `<FOLDER>/<name>.safetensors`, checked at every load. What `pyproject.toml` leaves out of
the wheel for its size lies in the repository only."""


IR_SHA256: dict[str, str] = {
    "icnet-lite-int8": "f7ab581559681ed4ac520ab3d46e1b387875e56bb52f966a84508c0358b30d34",
    "icnet-lite-large-int8": "633623aed4906e5bebc5717956e2ad8f2652c855908f5e250bd95421db2ef76c",
}
"""Bundled quantized model name to the SHA-256 of `<FOLDER>/<name>.xml` followed by its `.bin`, checked at every load."""


def bundled_path(name: str) -> Path:
    """The bundled weight file of a published model.

    Raises:
        ModelError: the name is unknown, or its weights are not in this version or installation.
    """
    if name.removesuffix("-int8") in SHA256 and name not in SHA256:
        model = name.removesuffix("-int8")
        raise ModelError(
            f"{name} does not come with this version: make it with `icnet export {model} -o models --precision int8 "
            "--kind logits --data CamVid` and give the .xml file"
        )
    if name not in PRESETS:
        names = ", ".join([*PRESETS, *IR_SHA256])
        raise ModelError(
            f"unknown model {name!r}: choose one of {names}, give the path of a .safetensors or .xml file, or {FORM}"
        )
    if name not in SHA256:
        have = ", ".join([*SHA256, *IR_SHA256]) or "none"
        raise ModelError(f"no trained weights of {name} come with this version (bundled: {have}): train them with `icnet train`")
    path = FOLDER / f"{name}.safetensors"
    if not path.exists():
        raise ModelError(
            f"the weights of {name} are not in this installation: take {path.name} from src/icnet/weights in the repository and "
            "give its path" + (f", or choose {name}-int8" if f"{name}-int8" in IR_SHA256 else "")
        )
    return path


def is_ir(model: str) -> bool:
    """Whether a name, path or address means an OpenVINO IR, which is finished, and not weights."""
    return model in IR_SHA256 or Path(model).suffix == ".xml"


def read_model(model: str, kinds: Iterable[str] = KINDS) -> Stored:
    """Read the files behind a bundled model's name, a `.safetensors` or an `.xml` path, or the address of a model on a hub.

    Args:
        model: one of these.
        kinds: what a model of a hub may be, the best first.

    Raises:
        ModelError: nothing fits `model`, or the files are damaged; see also `icnet.hub.pull.pull`.
    """
    if is_address(model):
        from icnet.hub.pull import pull

        pulled = pull(model, kinds)
        return replace(read_stored(pulled.path), origin=str(pulled.address))
    if model in IR_SHA256:
        path, expected = FOLDER / f"{model}.xml", IR_SHA256[model]
    elif Path(model).suffix in (".xml", ".safetensors"):
        return read_stored(Path(model))
    else:
        path, expected = bundled_path(model), SHA256[model]
    stored = read_stored(path)
    if stored.sha256 != expected:
        raise ModelError(f"{path} is damaged (SHA-256 {stored.sha256[:12]}..., expected {expected[:12]}...): install icnet again")
    return stored


def find_weights(model: str) -> Weights:
    """Load the weights of a bundled model's name, of a `.safetensors` path, or of a model on a hub, then with `about["origin"]`.

    Raises:
        ModelError: nothing fits `model`, or the file is damaged.
    """
    if is_ir(model):
        raise ModelError(f"{model} is a finished OpenVINO model without weights to go on from: choose one of {', '.join(SHA256)}")
    stored = read_model(model, ("weights",))
    weights = parse_weights(stored)
    return replace(weights, about=weights.about | {"origin": stored.origin}) if stored.origin else weights
