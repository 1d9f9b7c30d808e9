"""The model card of a model that is passed on: README.md with the metadata that hubs read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from icnet.deploy.licence import NON_COMMERCIAL, origins
from icnet.hub.address import SCHEME, Address
from icnet.hub.client import hub
from icnet.hub.manifest import Manifest

if TYPE_CHECKING:
    from icnet.network.weights import Weights
    from icnet.runtime.facts import Facts

_WHAT = {
    "int8": "OpenVINO, eight bits, logits; what `icnet` runs",
    "weights": "the weights, for training, pruning and exporting",
    "logits": "OpenVINO, logits at a quarter of the size",
    "soft": "OpenVINO, probabilities; for Open Model Zoo's C++ demo and Model API",
    "index": "OpenVINO, class indices; for Open Model Zoo's Python demo",
}

_RULES = {"miou_strict": "mIoU, strict", "miou_omz": "mIoU, Open Model Zoo's rule"}


def model_card(weights: Weights, facts: Facts, manifest: Manifest, licence: str, address: Address) -> str:
    """Text and metadata.

    Args:
        weights: the network.
        facts: of the weight file.
        manifest: of all files but the card.
        licence: its identifier.
        address: where the model goes.

    Raises:
        UsageError: huggingface_hub, which knows the metadata's form, is missing.
    """
    metadata = str(_metadata(weights, licence))
    return "\n".join(["---", metadata, "---", "", *_text(weights, facts, manifest, licence, address)]) + "\n"


def _metadata(weights: Weights, licence: str) -> Any:
    about, library = weights.about, hub()
    scored = about.get("scored")
    dataset = {"dataset_type": str(scored).split()[0].lower(), "dataset_name": str(scored)} if scored else {}
    unknown = {"dataset_type": "unknown", "dataset_name": "the run's validation pictures"}
    results = [
        library.EvalResult(
            task_type="image-segmentation",
            **(dataset or unknown),
            metric_type="mean_iou",
            metric_name=name,
            metric_value=about[key],
        )
        for key, name in _RULES.items()
        if isinstance(about.get(key), float)
    ]
    return library.ModelCardData(
        license=licence,
        library_name="icnet",
        pipeline_tag="image-segmentation",
        tags=["semantic-segmentation", "road-scenes", "openvino", weights.spec.family],
        datasets=["camvid"] if "CamVid" in str(about.get("data", "")) else None,
        base_model=[one.removeprefix(SCHEME).split("@")[0] for one in origins(about) if one.startswith(SCHEME)] or None,
        metrics=["mean_iou"] if results else None,
        model_name=weights.spec.name,
        eval_results=results or None,
    )


def _text(weights: Weights, facts: Facts, manifest: Manifest, licence: str, address: Address) -> list[str]:
    about, names = weights.about, manifest.models
    height, width = weights.spec.size_hw
    lines = [f"# {weights.spec.name}", "", "Semantic segmentation of road scenes, for ordinary machines, made with `icnet`.", ""]
    lines += ["```sh", "pip install 'icnet[hub]'", f"icnet segment picture.jpg -o out --model {address}", "```", ""]
    lines += ["| | |", "|---|---|", f"| kernel weights | {facts.kernel_weights:,} |"]
    lines += [f"| zeros among them | {facts.kernel_zeros:,} |"] if facts.kernel_zeros else []
    lines += [
        f"| GFLOPs at {height}x{width}, multiply and add counted | {facts.gflops:.2f} |",
        f"| input | `data`, 1x{height}x{width}x3, NHWC, BGR, 0 to 255; normalisation is part of the graph |",
        "| classes | `classes.json` has their names and colours in order |",
        "",
        "## Files",
        "",
        "| file | what | bytes | SHA-256 |",
        "|---|---|---|---|",
    ]
    for kind, name in names.items():
        lines.append(f"| `{name}` | {_WHAT[kind]} | {manifest.files[name].bytes:,} | `{manifest.files[name].sha256[:12]}...` |")
    lines += ["", "`icnet.json` has the digest of every file; `icnet verify` compares.", "", "## Accuracy", ""]
    scores = [f"| {name} | {100 * about[key]:.2f} % |" for key, name in _RULES.items() if isinstance(about.get(key), float)]
    where = f"On {about['scored']}" if about.get("scored") else "On the validation pictures of its run, as the run measured it"
    lines += [f"{where}, of the weights:", "", "| | |", "|---|---|", *scores] if scores else ["Not measured."]
    return [*lines, "", *_terms(about, licence)]


def _terms(about: dict[str, Any], licence: str) -> list[str]:
    began = ", ".join(f"`{one}`" for one in origins(about))
    lines = ["## Training, data and terms", ""]
    lines += [f"Trained on: {about['data']}.", ""] if about.get("data") else []
    lines += [f"Began from or learnt from: {began}.", ""] if began else []
    lines += [f"Pretrained: {about['pretrained']}.", ""] if about.get("pretrained") else []
    if licence == NON_COMMERCIAL:
        lines += [
            "The weights are licensed CC BY-NC 4.0 (https://creativecommons.org/licenses/by-nc/4.0/): **not for commercial "
            "use**. CamVid, on which they, or weights that they began from, were trained, has these terms.",
            "",
        ]
    else:
        lines += [f"Licence: {licence}.", ""]
    recipe = about.get("recipe")
    if recipe:
        lines += [
            "<details><summary>Recipe</summary>",
            "",
            "```json",
            json.dumps(recipe, indent=2, sort_keys=True),
            "```",
            "</details>",
            "",
        ]
    return [*lines, "## Not for", "", "Driving, or any decision on which someone's safety rests."]
