#!/usr/bin/env python3
"""What should `icnet-lite` look like? INT8 cost and accuracy of candidate designs.

usage: python tools/lite_designs.py latency
       ONEDNN_MAX_CPU_ISA=AVX2 python tools/lite_designs.py latency      as on a CPU without VNNI
       KERAS_BACKEND=torch python tools/lite_designs.py accuracy --data CamVid --out runs/designs --epochs 8 NAME ...

`latency` prints the CPU time of the logits of one 720x960 frame on one thread, each candidate in turn so that drift hits all
alike, and the ratio to the compact network; the networks are untrained, since time does not depend on the weights. It wants an
otherwise idle machine. `accuracy` trains candidates from ImageNet by one short recipe. That compares designs; it is not what
full training gives.
"""

import argparse
import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from icnet.network.spec import COMPACT_60, LITE, LITE0, LITE2, LITE_LARGE, LiteSpec, Spec

ROUNDS, UNTIMED = 12, 3

REFERENCE = "compact-60"


def _lite(trunk: Any, scale: float, fusion: tuple[int, int, int, int, int], **options: Any) -> LiteSpec:
    return dataclasses.replace(LITE_LARGE, trunk=trunk, scale=scale, fusion=fusion, **{"separable": True, **options})


CANDIDATES: dict[str, tuple[LiteSpec, tuple[int, int]]] = {
    "lite0-whole": (_lite(LITE0, 1.0, (64, 64, 64, 64, 0)), (352, 480)),
    "lite0-whole-plain": (_lite(LITE0, 1.0, (64, 64, 64, 64, 0), separable=False), (352, 480)),
    "lite2-whole": (_lite(LITE2, 1.0, (64, 64, 64, 64, 0)), (352, 480)),
    "large": (LITE_LARGE, (352, 480)),
    "lite2-half": (_lite(LITE2, 0.5, (128, 128, 96, 64, 32)), (720, 960)),
    "lite2-half-plain": (_lite(LITE2, 0.5, (128, 128, 96, 64, 32), separable=False), (720, 960)),
    "lite2-2/3": (_lite(LITE2, 2 / 3, (96, 96, 64, 48, 32)), (528, 720)),
    "lite2-2/3-quarter": (_lite(LITE2, 2 / 3, (96, 96, 64, 48, 0)), (528, 720)),
    "lite2-2/3-plain": (_lite(LITE2, 2 / 3, (96, 96, 64, 48, 24), separable=False), (528, 720)),
    "lite2-11/15": (LITE, (480, 720)),
    "lite2-3/4": (_lite(LITE2, 0.75, (128, 96, 64, 48, 0)), (480, 640)),
    "lite2-3/4-half": (_lite(LITE2, 0.75, (96, 96, 64, 48, 16)), (480, 640)),
    "lite0-0.9": (_lite(LITE0, 0.9, (96, 96, 64, 48, 0)), (480, 640)),
    "lite0-3/4-half": (_lite(LITE0, 0.75, (96, 96, 64, 48, 32)), (480, 640)),
}
"""Each with the crops that cost about the same time of training."""


def latency(args: argparse.Namespace) -> None:
    """Median CPU time, all candidates and the reference in turn."""
    import nncf
    import openvino as ov

    from icnet.deploy.quantize import calibrate
    from icnet.network.openvino_model import openvino_model
    from icnet.network.weights import random_weights

    nncf.set_log_level(logging.ERROR)
    frame = np.random.default_rng(0).integers(0, 256, (1, *COMPACT_60.size_hw, 3)).astype(np.float32)
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
    core, specs = ov.Core(), {REFERENCE: COMPACT_60, **{name: spec for name, (spec, _) in CANDIDATES.items()}}

    def request(spec: Spec) -> ov.InferRequest:
        model = calibrate(openvino_model(random_weights(spec)), nncf.Dataset([frame]), 1)
        return core.compile_model(model, "CPU", hints).create_infer_request()

    requests = {name: request(spec) for name, spec in specs.items() if not args.names or name in (REFERENCE, *args.names)}
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(ROUNDS):
        for name, infer in requests.items():
            start = time.process_time()
            infer.infer([frame])
            seconds[name].append(time.process_time() - start)
    first = np.array(seconds[REFERENCE][UNTIMED:])
    for name, times in seconds.items():
        low, middle, high = np.percentile(np.array(times[UNTIMED:]) / first, (10, 50, 90))
        print(f"{name:20s} {1e3 * np.median(times[UNTIMED:]):6.1f} CPU-ms  {middle:.2f} of {REFERENCE} ({low:.2f} to {high:.2f})")


def accuracy(args: argparse.Namespace) -> None:
    """Scores on val after a short training from ImageNet."""
    from icnet.data.splits import open_split
    from icnet.training.imagenet import imagenet_weights
    from icnet.training.learner import Learner
    from icnet.training.recipe import RECIPES
    from icnet.training.trainer import RunOptions, Trainer

    train, val = open_split(args.data, "train"), open_split(args.data, "val")
    for name in args.names or CANDIDATES:
        spec, crop_hw = CANDIDATES[name]
        recipe = dataclasses.replace(RECIPES[LITE_LARGE.name], epochs=args.epochs, crop_hw=crop_hw, final=None)
        trainer = Trainer(Learner(spec, recipe, train, val, initial=imagenet_weights(spec)), args.out / name.replace("/", "-"))
        progress = trainer.run(RunOptions(validate_every=args.epochs))
        scores = trainer.validate()
        iou = ", ".join(f"{label} {100 * scores.iou[label]:.1f}" for label in ("SignSymbol", "Pedestrian", "Pole"))
        figures = f"strict {100 * scores.miou_strict:.2f}, omz {100 * scores.miou_omz:.2f}, {iou}"
        print(f"{name:20s} {figures}; {progress.seconds / 60:.1f} minutes", flush=True)


def main() -> None:
    """One of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["latency", "accuracy"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(CANDIDATES)}")
    parser.add_argument("--data", default="")
    parser.add_argument("--out", type=Path, default=Path("runs/designs"))
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    (latency if args.step == "latency" else accuracy)(args)


if __name__ == "__main__":
    main()
