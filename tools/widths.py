#!/usr/bin/env python3
"""Where should the compact network be thin? INT8 latency and accuracy of candidate widths, as a table and a picture.

usage: python tools/widths.py latency --out runs/widths
       python tools/widths.py accuracy --data CamVid --out runs/widths --initial icnet-camvid-ava-compact-60-0001 --epochs 4
       python tools/widths.py show --out runs/widths --picture docs/widths.png

It needs the extra `measure`. `latency` wants an otherwise idle machine; the networks are untrained there, since time does not
depend on the weights.
`accuracy` starts every candidate from the same weights: channels that it lacks are pruned by magnitude, channels that it
has beyond them are grown, then all train on with the same recipe. That compares widths; it is not what full training gives.
"""

import argparse
import dataclasses
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from icnet.network.graph import convolutions
from icnet.network.spec import COMPACT_60, DENSE, IcnetSpec

ROUNDS, UNTIMED = 24, 4

REFERENCE = "dense, fp32"


def _thinner(**widths: Any) -> IcnetSpec:
    return dataclasses.replace(COMPACT_60, **widths)


CANDIDATES: dict[str, IcnetSpec] = {
    "compact-60": COMPACT_60,
    "fusion 96": _thinner(fusion=96),
    "fusion 64": _thinner(fusion=64),
    "thin stem and detail, fusion 96": _thinner(stem=(16, 32, 48), stage2=(32, 96), fusion=96, detail=(16, 32, 64)),
    "deep stages halved": _thinner(stage4=(128, 512), stage5=(256, 1024), pyramid=256),
    "wide detail": _thinner(detail=(32, 64, 128)),
    "every width x 0.625": _thinner(
        stem=(40, 40, 80),
        stage2=(40, 160),
        stage3=(80, 320),
        stage4=(160, 640),
        stage5=(320, 1280),
        pyramid=320,
        detail=(40, 40, 80),
        fusion=160,
    ),
}
"""At most 10,670,234 kernel weights each: 40 % of the dense network's."""


def latency(args: argparse.Namespace) -> None:
    """Median time of logits of one 720x960 frame, all candidates and the reference in turn, so that drift hits all alike."""
    import nncf
    import openvino as ov

    from icnet.network.openvino_model import openvino_model
    from icnet.network.weights import random_weights

    nncf.set_log_level(logging.ERROR)
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (1, *DENSE.size_hw, 3)).astype(np.float32) for _ in range(2)]
    core = ov.Core()

    def request(spec: IcnetSpec, *, int8: bool) -> ov.InferRequest:
        model = openvino_model(random_weights(spec), output="logits")
        if int8:
            model = nncf.quantize(model, nncf.Dataset(frames), subset_size=len(frames), preset=nncf.QuantizationPreset.MIXED)
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        return core.compile_model(model, "CPU", hints).create_infer_request()

    requests = {REFERENCE: request(DENSE, int8=False)}
    requests |= {name: request(spec, int8=True) for name, spec in CANDIDATES.items()}
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(ROUNDS):
        for name, infer in requests.items():
            start = time.perf_counter()
            infer.infer([frames[0]])
            seconds[name].append(time.perf_counter() - start)
    timed = {name: np.array(times[UNTIMED:]) for name, times in seconds.items()}
    for name, times in timed.items():
        ratios = timed[REFERENCE] / times
        low, ratio, high = np.percentile(ratios, (10, 50, 90))
        _note(args.out, name, latency_ms=1e3 * float(np.median(times)), ratio=ratio, ratio_p10=low, ratio_p90=high)
        print(f"{name:34s} {1e3 * np.median(times):7.1f} ms  {ratio:5.2f}x ({low:.2f} to {high:.2f})")


def accuracy(args: argparse.Namespace) -> None:
    """Strict mIoU on val after a short training from the same weights; candidates that have a figure already are left out."""
    from icnet.data.splits import open_split
    from icnet.network.registry import find_weights
    from icnet.training.learner import Learner
    from icnet.training.recipe import Recipe
    from icnet.training.trainer import RunOptions, Trainer

    start = find_weights(args.initial)
    train, val = open_split(args.data, "train"), open_split(args.data, "val")
    recipe = Recipe(epochs=args.epochs, learning_rate=args.learning_rate, warmup_steps=20)
    for name, spec in CANDIDATES.items():
        if "miou_strict" in _noted(args.out).get(name, {}):
            continue
        folder = args.out / name.replace(" ", "-").replace(",", "")
        trainer = Trainer(Learner(spec, recipe, train, val, initial=fitted(start, spec)), folder)
        result = trainer.run(RunOptions(validate_every=args.epochs))
        _note(args.out, name, miou_strict=result.best_miou, epochs=args.epochs, initial=args.initial)
        print(f"{name:34s} {100 * result.best_miou:.2f} %", flush=True)


def fitted(weights: Any, spec: IcnetSpec) -> Any:
    """The network in other widths: channels too many are pruned by magnitude, channels too few are left for `grow`."""
    from icnet.network.keras_layers import GridPool, KerasOps, Resize
    from icnet.network.keras_model import build
    from icnet.network.keras_weights import get_weights, set_weights
    from icnet.pruning import ChannelPruner, compact

    least = IcnetSpec.from_dict(_least(weights.spec.to_dict(), spec.to_dict()))
    model = build(weights.spec, auxiliary=True, ops=KerasOps(masks="channel"))
    set_weights(model, weights)
    channelwise = (Resize, GridPool)
    keep = {conv.name: conv.kernel_shape[3] for conv in convolutions(least)}
    heads = [layer.name for layer in model.layers if layer.name.startswith("auxiliary")]
    ChannelPruner(model, keep=keep, exclude=heads, channelwise=channelwise).prune()
    narrow, _ = compact(model, channelwise=channelwise)
    return dataclasses.replace(get_weights(narrow, least), about=weights.about)


def _least(one: Any, other: Any) -> Any:
    """The smaller of two descriptions, number by number."""
    if isinstance(one, dict):
        return {key: _least(one[key], other[key]) for key in one}
    if isinstance(one, list | tuple):
        return [_least(a, b) for a, b in zip(one, other, strict=True)]
    return min(one, other)


def show(args: argparse.Namespace) -> None:
    """Print the table and draw latency against accuracy."""
    from matplotlib.figure import Figure

    noted = _noted(args.out)
    print("| widths | kernel weights | GFLOPs | INT8 ms | against dense fp32 | strict mIoU on val |\n|---|---|---|---|---|---|")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    middle = float(np.mean([facts["ratio"] for facts in noted.values() if "miou_strict" in facts] or [0]))
    for name, spec in {REFERENCE: DENSE, **CANDIDATES}.items():
        facts, convs = noted.get(name, {}), convolutions(spec)
        weights, gflops = sum(conv.kernel_weights for conv in convs), 2 * sum(conv.multiply_adds for conv in convs) / 1e9
        miou = f"{facts['miou_strict']:.2%}" if "miou_strict" in facts else ""
        ratio = f"{facts['ratio']:.2f}x ({facts['ratio_p10']:.2f} to {facts['ratio_p90']:.2f})"
        print(f"| {name} | {weights:,} | {gflops:.1f} | {facts['latency_ms']:.1f} | {ratio} | {miou} |")
        if miou:
            axes.plot(facts["ratio"], 100 * facts["miou_strict"], "o", color="tab:blue")
            side, shift = ("right", -7) if facts["ratio"] > middle else ("left", 7)  # names stay inside the picture
            point = facts["ratio"], 100 * facts["miou_strict"]
            axes.annotate(name, point, xytext=(shift, 0), textcoords="offset points", ha=side, va="center")
    axes.set_xlabel("times as fast as the dense network in fp32 (INT8, logits of one 720x960 frame, two cores)")
    axes.set_ylabel("strict mIoU on CamVid val, %, after the same short training")
    axes.margins(x=0.2)
    axes.grid(alpha=0.3)
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.picture, dpi=110)


def _noted(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "widths.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _note(folder: Path, name: str, **facts: Any) -> None:
    from icnet.base.files import write_bytes

    noted = _noted(folder)
    noted.setdefault(name, {}).update(facts)
    write_bytes(folder / "widths.json", json.dumps(noted, indent=1).encode())


def main() -> None:
    """One of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps: dict[str, Callable[[argparse.Namespace], None]] = {"latency": latency, "accuracy": accuracy, "show": show}
    parser.add_argument("step", choices=steps)
    parser.add_argument("--out", type=Path, default=Path("runs/widths"))
    parser.add_argument("--data", default="")
    parser.add_argument("--initial", default=COMPACT_60.name)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--picture", type=Path, default=Path("runs/widths/widths.png"))
    args = parser.parse_args()
    steps[args.step](args)


if __name__ == "__main__":
    main()
