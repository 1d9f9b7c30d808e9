"""A model folder as Open Model Zoo lays it out: IRs by precision, `model.yml`, `accuracy-check.yml`.

The formats are those of Open Model Zoo's `tools/model_tools` and `tools/accuracy_checker`, releases 2023 and 2024.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from icnet.base.classes import CAMVID
from icnet.base.errors import UsageError, require
from icnet.deploy.quantize import Quantized
from icnet.network.graph import convolutions
from icnet.network.spec import Spec
from icnet.network.weights import Weights, kernel_zeros

MODEL_YML = "model.yml"
"""The description that makes a folder an Open Model Zoo model."""

_WORTH_TELLING = 0.01
"""Share of zeros; the few weights of a dense network that rounding took to zero are not meant."""

DATASET_META = "dataset_meta.json"
"""Where Open Model Zoo's accuracy checker finds the classes, if they are not CamVid's."""

_NO_LICENCE = "not stated by the weights"


def check_name(name: str) -> str:
    """Return `name` if Open Model Zoo's tools accept it.

    Raises:
        UsageError: it holds other characters than letters, digits, `.`, `_` and `-`, or starts with a dot.
    """
    if not re.fullmatch(r"[0-9a-zA-Z_-][0-9a-zA-Z._-]*", name):
        raise UsageError(f"{name!r} is no model name: use letters, digits, '.', '_' and '-' only, and no dot in front")
    return name


def require_yaml() -> Any:
    """The package that writes the descriptions.

    Raises:
        UsageError: PyYAML is not installed.
    """
    return require("yaml", "an export needs PyYAML", "'icnet[export]'")


def ir_path(name: str, precision: str) -> Path:
    """Path of an `.xml` relative to the folder that holds the models, such as `icnet/FP32/icnet.xml`."""
    return Path(name, "FP16-INT8" if precision == "int8" else precision.upper(), f"{name}.xml")


def write_description(folder: Path, weights: Weights, output: str, quantized: Quantized | None = None) -> None:
    """Write `model.yml` for the IRs that lie in `folder`, and `accuracy-check.yml` if the accuracy checker can read them.

    The checker's segmentation adapter takes an NCHW map for NHWC when the input is NHWC, and so misreads the `soft` IR;
    the `index` IR, which has the same classes, is the one to check.
    """
    documents = {MODEL_YML: model_description(folder, weights, quantized)}
    if output == "index":
        documents["accuracy-check.yml"] = accuracy_check(folder.name, _miou(folder, weights, quantized), weights.spec)
        if weights.spec.classes != CAMVID:
            meta = {"labels": weights.spec.classes.names, "segmentation_colors": weights.spec.classes.palette}
            (folder / DATASET_META).write_text(json.dumps(meta), encoding="utf-8")
    yaml = require_yaml()
    for name, document in documents.items():
        (folder / name).write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")


def model_description(folder: Path, weights: Weights, quantized: Quantized | None = None) -> dict[str, Any]:
    """The content of `model.yml`: files with size and SHA-384, input, licence, and how the eight-bit files came about.

    A file's `source` is its own relative path; whoever publishes the folder puts the address in front.
    """
    paths = sorted(path for path in folder.glob("*/*") if path.suffix in (".xml", ".bin"))
    miou = _miou(folder, weights, quantized)
    figure = "" if miou is None else f" ({miou:.2%} mIoU)"
    share = kernel_zeros(weights) / sum(conv.kernel_weights for conv in convolutions(weights.spec))
    sparsity = f" with {share:.0%} weight sparsity" if share >= _WORTH_TELLING else ""
    eight_bits, count = "", len(weights.spec.classes)
    if quantized is not None:
        calibration = quantized.calibration
        beside = "" if miou == quantized.miou_omz else f" ({quantized.miou_omz:.2%} mIoU)"
        eight_bits = (
            f"; FP16-INT8{beside} calibrated on {calibration['images']} of {calibration['of']} training images "
            f"(seed {calibration['seed']}; {calibration['tool']}), their names stand in the .xml"
        )
    return {
        "description": f"{_network(weights)}{sparsity}, segmentation of road scenes into {count} classes{figure}{eight_bits}",
        "task_type": "semantic_segmentation",
        "files": [_file(path, folder) for path in paths],
        "input_info": [{"name": "data", "shape": [1, *weights.spec.size_hw, 3], "layout": "NHWC"}],
        "framework": "dldt",
        "license": weights.about.get("licence_url", _NO_LICENCE),
    }


def _network(weights: Weights) -> str:
    """What was trained, and what it began from."""
    runs = [*weights.about.get("history", []), weights.about]
    pretrained = any((run.get("recipe") or {}).get("initial") == "imagenet" for run in runs)
    name = "ICNet" if weights.spec.family == "icnet" else f"{weights.spec.name} (EfficientNet-Lite trunk, ICNet's cascade)"
    data = "on CamVid " if weights.spec.classes == CAMVID else ""
    return f"{name} trained {data}" + ("from ImageNet weights" if pretrained else "from scratch")


def _file(path: Path, folder: Path) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha384").hexdigest()
    return {"name": name, "size": path.stat().st_size, "checksum": checksum, "source": name}


def _miou(folder: Path, weights: Weights, quantized: Quantized | None) -> float | None:
    """By Open Model Zoo's rule, of the floating point IRs in `folder`, or of the eight-bit one where it is alone."""
    alone = quantized is not None and not any(path.parent.name in ("FP32", "FP16") for path in folder.glob("*/*.xml"))
    miou = quantized.miou_omz if quantized is not None and alone else weights.about.get("miou_omz")
    return miou if isinstance(miou, float) else None


def accuracy_check(name: str, miou: float | None, spec: Spec) -> dict[str, Any]:
    """The content of `accuracy-check.yml`: the protocol behind the published mIoU, on the checker's dataset `CamVid`.

    Where the classes are others, the checker's `--source` is a folder with the pictures in `images`, their masks (class indices)
    under the same names in `masks`, all of them PNG files, and a copy of `DATASET_META`.
    """
    classes, (height, width) = spec.classes, spec.size_hw
    size = {"dst_width": width, "dst_height": height}
    ignored = {} if classes.void is None else {"ignore_label": classes.void}
    metric: dict[str, Any] = {"type": "mean_iou", "use_argmax": False, **ignored, "presenter": "print_vector"}
    if miou is not None:
        metric["reference"] = round(miou, 4)
    dataset: dict[str, Any] = {"name": "CamVid"}
    if classes != CAMVID:
        conversion = {"converter": "common_semantic_segmentation", "images_dir": "images", "masks_dir": "masks"}
        conversion["dataset_meta_file"] = DATASET_META
        dataset = {"name": name, "data_source": "images", "annotation_conversion": conversion}
    dataset |= {
        "preprocessing": [{"type": "resize", **size, "interpolation": "LINEAR"}],
        "postprocessing": [{"type": "resize_segmentation_mask", "apply_to": "annotation", **size}],
        "metrics": [metric],
    }
    launcher = {"framework": "openvino", "adapter": "segmentation"}
    return {"models": [{"name": name, "launchers": [launcher], "datasets": [dataset]}]}
