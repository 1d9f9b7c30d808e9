"""`icnet push`: pass a model on."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from icnet.deploy.quantize import Quantized
    from icnet.network.weights import Weights

_FRAMES = 2
"""Pictures of the synthetic street that every file is compared on."""


def push(
    run: Annotated[str, typer.Argument(help="Folder of a run, a .safetensors file or a published name.")],
    address: Annotated[str, typer.Argument(metavar="hf://USER/NAME", help="Where it goes.")],
    licence: Annotated[
        str | None, typer.Option(metavar="ID", help="Terms, such as apache-2.0, where the weights do not tell them.")
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="Quantize it first, with --data; a model in eight bits beside the weights is taken as it is."
        ),
    ] = False,
    data: Annotated[str | None, typer.Option(help="Pictures to calibrate on and to score on, for --int8.")] = None,
    private: Annotated[bool, typer.Option("--private", help="A new repository is not seen by others.")] = False,
    sign: Annotated[Path | None, typer.Option(metavar="KEY", help="Private key (elliptic, PEM) to sign with.")] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the files into this new folder, and push nothing.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Push a model to a model hub: weights, OpenVINO files, classes, a model card and digests of all.

    Every OpenVINO file is compared with the weights first. HF_ENDPOINT names another hub than the library's own; `hf auth login`
    logs in. Others then give the printed address as --model.
    """
    from rich.console import Console

    from icnet.base.errors import OutputError, UsageError
    from icnet.cli.terminal import emit, show
    from icnet.deploy.licence import decide
    from icnet.deploy.package import find_source, package
    from icnet.hub.push import push as upload
    from icnet.hub.push import target
    from icnet.street.drive import StreetDrive, StreetOptions

    goal, source = target(address), find_source(run)
    decide(source.weights.about, licence)
    if int8 != (data is not None):
        raise UsageError("--int8 and --data go together: give both or none")
    if to is not None and to.exists():
        raise OutputError(f"{to} exists already: choose another folder")
    with ExitStack() as stack, Console(stderr=True).status("preparing") as status:
        folder = to or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="icnet-"))) / source.weights.spec.name
        folder.mkdir(parents=True)
        drive = StreetDrive(StreetOptions(size_hw=source.weights.spec.size_hw))
        frames = [drive[index].image for index in range(0, len(drive), len(drive) // _FRAMES)[:_FRAMES]]
        quantized = _quantized(source.weights, data) if data is not None else None
        package(*(source, folder, goal, frames), licence=licence, quantized=quantized, key=sign, report=status.update)
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        status.update("pushing")
        pushed = str(upload(folder, goal, private=private)) if to is None else None
    if as_json:
        emit({"address": pushed, "files": files, "signed": sign is not None})
        return
    for name, size in files.items():
        show(f"{size:>12,}  {name}")
    show(f"pushed: {pushed}" if pushed else f"written, not pushed: {to}")


def _quantized(weights: Weights, data: str) -> Quantized:
    from icnet.data.splits import open_split
    from icnet.deploy.quantize import quantize

    return quantize(weights, open_split(data, "train"), open_split(data, "val"))
