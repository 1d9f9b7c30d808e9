"""The trained weights of this project, and how a model name or path becomes weights."""

from pathlib import Path

from icnet.base.errors import ModelError
from icnet.network.spec import PRESETS
from icnet.network.weights import Weights, file_sha256, load_weights

FOLDER = Path(__file__).resolve().parent.parent / "weights"
"""Where the bundled weight files and their model cards lie."""

SHA256: dict[str, str] = {
    "icnet-lite": "96335e87870c9361688a6800356d32856b0c2d34f3a858a373023efbf2500d1e",
    "icnet-lite-large": "48abb36bc1b9b7be0084fef1d4b3d5942990eaabaa1cbbf12ce92679dea1974d",
    "icnet-camvid-ava-compact-60-0001": "18412afa54ed0a4499766caef30c16dec927e63d544738ac4fc533cd17d73725",
    "icnet-camvid-ava-sparse-60-0001": "468cc5998e3cea75fd4c1733b78c5786a6cbfb1e1789c5974336bbc6a8c5b161",
}
"""Bundled model name to the SHA-256 of `<FOLDER>/<name>.safetensors`, checked at every load. What `pyproject.toml` leaves out of
the wheel for its size lies in the repository only."""


IR_SHA256: dict[str, str] = {
    "icnet-lite-int8": "5c26f538db51fc366c2485d55a01d4bfb41b82dd8df1363919ed081c3abf3ca0",
    "icnet-lite-large-int8": "daf10c904e4452bd78a00ade529ebee5953d9bd8b0ef2469433aadbbf538460a",
}
"""Bundled quantized model name to the SHA-256 of `<FOLDER>/<name>.xml` followed by its `.bin`, checked at every load."""


def bundled_path(name: str) -> Path:
    """The bundled weight file of a published model.

    Raises:
        ModelError: the name is unknown, or its weights are not in this version or installation.
    """
    if name in IR_SHA256:
        raise ModelError(f"{name} is a finished OpenVINO model without weights to go on from: choose one of {', '.join(SHA256)}")
    if name.removesuffix("-int8") in SHA256 and name not in SHA256:
        model = name.removesuffix("-int8")
        raise ModelError(
            f"{name} does not come with this version: make it with `icnet export {model} -o models --precision int8 "
            "--kind logits --data CamVid` and give the .xml file"
        )
    if name not in PRESETS:
        names = ", ".join([*PRESETS, *IR_SHA256])
        raise ModelError(f"unknown model {name!r}: choose one of {names}, or give the path of a .safetensors or .xml file")
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


def find_weights(model: str) -> Weights:
    """Load the weights of a bundled model's name or of a `.safetensors` path.

    Raises:
        ModelError: nothing fits `model`, or the file is damaged.
    """
    path = Path(model)
    if path.suffix == ".safetensors":
        return load_weights(path)
    return load_weights(bundled_path(model), sha256=SHA256[model])


def find_ir(model: str) -> Path | None:
    """The `.xml` file that a bundled quantized model's name or a path means; None if `model` means weights.

    Raises:
        ModelError: a bundled file is damaged.
    """
    if model not in IR_SHA256:
        return Path(model) if Path(model).suffix == ".xml" else None
    path = FOLDER / f"{model}.xml"
    try:
        found = file_sha256(path, path.with_suffix(".bin"))
    except OSError as error:
        raise ModelError(f"{error.filename} is missing or cannot be read ({error.strerror}): install icnet again") from error
    if found != IR_SHA256[model]:
        raise ModelError(f"{path} or its .bin is damaged (SHA-256 {found[:12]}...): install icnet again")
    return path
