"""`icnet export`: OpenVINO files from trained weights."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from icnet.data.sample import Dataset

FRAMES = 4
"""How many images every IR is compared on."""


class PrecisionName(StrEnum):
    """How the kernels are stored."""

    FP32 = "fp32"
    FP16 = "fp16"


def export(
    model: Annotated[str, typer.Argument(help="Published name or .safetensors weights.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that gets the model folders NAME and NAME-soft.")],
    name: Annotated[str | None, typer.Option(help="Name of folders and files; the network's own by default.")] = None,
    precision: Annotated[list[PrecisionName] | None, typer.Option(help="May be repeated; both by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="CamVid folder to compare on; synthetic streets by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace folders of an earlier export.")] = False,
) -> None:
    """Write OpenVINO IRs laid out as Open Model Zoo lays out a model, each compared with Keras first.

    NAME holds class indices, for Open Model Zoo's Python demo and accuracy checker; NAME-soft holds probabilities, for its
    C++ demo and for Model API. The comparison uses four images: of CamVid's val split with --data, else of the synthetic street.
    """
    from rich.console import Console

    from icnet.base.errors import UsageError
    from icnet.base.registry import find_weights
    from icnet.deploy.openvino import PRECISIONS, ExportOptions
    from icnet.deploy.openvino import export as run

    if Path(model).suffix == ".xml":
        raise UsageError(f"{model} is exported already: give a model name or .safetensors weights")
    weights = find_weights(model)
    chosen = tuple(kind for kind in PRECISIONS if precision is None or kind in precision)
    with Console(stderr=True).status("preparing") as status:
        written = run(
            weights,
            output,
            _frames(data, weights.spec.size_hw),
            options=ExportOptions(name=name, precisions=chosen, overwrite=overwrite),
            report=status.update,
        )
    for ir in written:
        megabytes = ir.path.with_suffix(".bin").stat().st_size / 1e6
        facts = f"{megabytes:.1f} MB, {ir.kernel_zeros:,} zeros, {ir.changed:.4%} of the pixels differ from Keras"
        typer.echo(f"{ir.path}: output {ir.output}, {facts}")


def _frames(data: Path | None, size_hw: tuple[int, int]) -> list[np.ndarray]:
    """(H, W, 3) uint8 BGR images spread over the CamVid val split, or over a synthetic drive.

    Raises:
        DataError: `data` is no CamVid folder.
    """
    from icnet.data.camvid import CamVid
    from icnet.data.street import StreetDrive, StreetOptions

    source: Dataset = StreetDrive(StreetOptions(size_hw=size_hw)) if data is None else CamVid(data, "val")
    step = max(1, len(source) // FRAMES)
    return [source[index].image for index in range(0, len(source), step)[:FRAMES]]
