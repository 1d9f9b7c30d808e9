"""`icnet export`: OpenVINO files from trained weights."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icnet.cli.terminal import finite, given, show, size_hw

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from icnet.base.sample import Dataset
    from icnet.deploy.quantize import Quantized
    from icnet.network.weights import Weights

FRAMES = 4
"""How many images every IR is compared on."""


PrecisionName = StrEnum("PrecisionName", "FP32 FP16 INT8")
"""How the kernels are stored; Typer takes no list of a `Literal`."""

OutputName = StrEnum("OutputName", "INDEX SOFT LOGITS")
"""What an IR gives."""


def export(
    model: Annotated[str, typer.Argument(help="Published name, .safetensors weights or hf://USER/NAME.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that gets the model folders NAME and NAME-soft.")],
    name: Annotated[str | None, typer.Option(help="Name of folders and files; the network's own by default.")] = None,
    precision: Annotated[list[PrecisionName] | None, typer.Option(help="May be repeated; fp32 and fp16 by default.")] = None,
    kind: Annotated[list[OutputName] | None, typer.Option(help="Output; may be repeated; index and soft by default.")] = None,
    size: Annotated[
        str, typer.Option(metavar="HxW", help="Input size, such as 512x1024; that of the weights if not given.")
    ] = "",
    data: Annotated[
        Path | None, typer.Option(help="CamVid folder to compare on, and for int8 to calibrate on; synthetic streets by default.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(min=0, callback=finite, help="Points of strict mIoU on val that int8 may cost; 0.5 if not given."),
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Training images that int8 is calibrated on; 128 if not given.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the choice of those images; 0 if not given.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace folders of an earlier export.")] = False,
) -> None:
    """Write OpenVINO IRs laid out as Open Model Zoo lays out a model, each compared with Keras first.

    NAME holds class indices, for Open Model Zoo's Python demo and accuracy checker; NAME-soft holds probabilities, for its
    C++ demo and for Model API; NAME-logits, on request, what this project's own programs run fastest. The comparison uses
    four images: of CamVid's val split with --data, else of the synthetic street.

    With --precision int8 the model is quantized: calibrated on CamVid's train split and scored on val, before and after. If it
    loses more than --max-drop, the layers that cost most stay in floating point; if that does not help, nothing is written.
    """
    from rich.console import Console

    from icnet.base.errors import UsageError
    from icnet.deploy.openvino import FLOAT, PRECISIONS, ExportOptions, check_export
    from icnet.deploy.openvino import export as run
    from icnet.network.openvino_model import OUTPUTS
    from icnet.network.registry import find_weights, is_ir
    from icnet.network.spec import check_size

    if is_ir(model):
        raise UsageError(f"{model} is exported already: give a model name or .safetensors weights")
    chosen = tuple(kind for kind in PRECISIONS if kind in (precision or FLOAT))
    quantizing = given(max_drop=max_drop, images=images, seed=seed)
    if quantizing and "int8" not in chosen:
        raise UsageError(f"--{min(quantizing).replace('_', '-')} is for --precision int8: leave it out, or ask for int8")
    if "int8" in chosen and data is None:
        raise UsageError("--precision int8 needs --data with the CamVid folder, to calibrate on train and to score on val")
    weights = find_weights(model)
    if size:
        weights = replace(weights, spec=replace(weights.spec, size_hw=size_hw(size, "--size")))
        check_size(weights.spec.size_hw)
    options = ExportOptions(name=name, precisions=chosen, overwrite=overwrite)
    if kind:
        options = replace(options, outputs=tuple(known for known in OUTPUTS if known in kind))
    check_export(weights, output, options)
    with Console(stderr=True).status("preparing") as status:
        frames = _frames(data, weights.spec.size_hw)
        quantized = _quantized(weights, data, quantizing, status.update) if "int8" in chosen and data is not None else None
        written = run(weights, output, frames, options=options, quantized=quantized, report=status.update)
    if quantized is not None:
        before, after = 100 * quantized.miou_float, 100 * quantized.miou_strict
        kept = f", {len(quantized.float_layers)} layers kept in floating point" if quantized.float_layers else ""
        show(f"strict mIoU on val {before:.2f} % before, {after:.2f} % in int8: {quantized.drop:.2f} points lost{kept}")
    for ir in written:
        megabytes = ir.path.with_suffix(".bin").stat().st_size / 1e6
        facts = f"{megabytes:.1f} MB, {ir.kernel_zeros:,} zeros, {ir.changed:.4%} of the pixels differ from Keras"
        show(f"{ir.path}: output {ir.output}, {facts}")


def _quantized(weights: Weights, data: Path, quantizing: dict[str, Any], report: Callable[[str], None]) -> Quantized:
    from icnet.data.splits import open_split
    from icnet.deploy.quantize import QuantizeOptions, quantize

    train, val = open_split(str(data), "train"), open_split(str(data), "val")
    return quantize(weights, train, val, options=QuantizeOptions(**quantizing), report=report)


def _frames(data: Path | None, size_hw: tuple[int, int]) -> list[np.ndarray]:
    """(H, W, 3) uint8 BGR images spread over the CamVid val split, or over a synthetic drive.

    Raises:
        DataError: `data` is no CamVid folder.
    """
    from icnet.data.splits import open_split
    from icnet.street.drive import StreetDrive, StreetOptions

    source: Dataset = StreetDrive(StreetOptions(size_hw=size_hw)) if data is None else open_split(str(data), "val")
    step = max(1, len(source) // FRAMES)
    return [source[index].image for index in range(0, len(source), step)[:FRAMES]]
