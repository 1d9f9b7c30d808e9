"""Export to OpenVINO IR, each file compared with Keras on given images before it reaches its place."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import openvino as ov

from icnet.base.classes import NAMES
from icnet.base.errors import ModelError, OutputError, UsageError
from icnet.base.weights import Weights, kernel_zeros
from icnet.deploy import omz
from icnet.evaluation.accuracy import Network, predict
from icnet.evaluation.reference import keras_network
from icnet.runtime.engine import Engine
from icnet.runtime.facts import model_facts
from icnet.runtime.graph import Output, openvino_model

Precision = Literal["fp32", "fp16"]
"""How kernels are stored; the arithmetic is the device's choice."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""Every precision that `export` can write."""

MAX_CHANGED = 0.001
"""Largest share of pixels whose class may differ from Keras."""

MODEL_INFO = {
    "model_type": "Segmentation",
    "labels": " ".join(NAMES),
    "reverse_input_channels": "False",
    "resize_type": "standard",
}
"""What Intel's Model API reads from an IR, so that it needs no configuration."""


@dataclass(frozen=True)
class ExportOptions:
    """What to write."""

    name: str | None = None
    """Base name of folders and files; the network's own name if not given."""
    precisions: tuple[Precision, ...] = PRECISIONS
    overwrite: bool = False
    """Replace folders of an earlier export."""


@dataclass(frozen=True)
class ExportedIr:
    """One IR that passed the comparison."""

    path: Path
    """The `.xml`; the `.bin` lies beside it."""
    output: Output
    precision: Precision
    changed: float
    """Share of the compared pixels whose class differs from Keras."""
    kernel_zeros: int
    """Zeros among its kernel weights, counted in the file: as many as the weights have."""


def save_ir(model: ov.Model, path: Path) -> None:
    """Write `.xml` and `.bin` with the facts that Model API needs.

    Raises:
        OutputError: the files cannot be written.
    """
    for key, value in MODEL_INFO.items():
        model.set_rt_info(value, ["model_info", key])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ov.save_model(model, path, compress_to_fp16=False)  # the graph says what is half
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path} ({error}): choose another place or free some space") from error


def changed_share(network: Network, frames: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Share of the pixels to which `network` gives another class than `expected`.

    Args:
        network: any engine.
        frames: (H, W, 3) uint8 BGR images.
        expected: the class map of each, (H, W) uint8 of the network's input size.
    """
    different = sum(
        int(np.count_nonzero(predict(network, frame, network.size_hw) != classes))
        for frame, classes in zip(frames, expected, strict=True)
    )
    return different / sum(classes.size for classes in expected)


def export(
    weights: Weights,
    folder: Path,
    frames: Sequence[np.ndarray],
    *,
    options: ExportOptions | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> list[ExportedIr]:
    """Write both IRs in each precision, laid out as Open Model Zoo lays out a model.

    `<name>` holds the `index` IR, which replaces Open Model Zoo's in its Python demo and accuracy checker. `<name>-soft`
    is a second model of the same layout with the `soft` IR, for the C++ demo and Model API.

    Args:
        weights: the trained network.
        folder: where the two model folders go.
        frames: (H, W, 3) uint8 BGR images to compare on, of scenes like those the network was trained for; at least one.
        options: names, precisions, overwriting.
        report: told in a few words what is being done.

    Returns:
        Every IR in its final place.

    Raises:
        ModelError: an IR changes the class of more than 0.1 % of the pixels, or has other zeros than the weights; nothing is
            left behind.
        OutputError: a folder exists already or cannot be written; an earlier export stays as it was.
        UsageError: the name is not usable, there is nothing to write, or Keras or PyYAML is missing.
    """
    options = options or ExportOptions()
    if not frames or not options.precisions:
        raise UsageError("nothing to export: give at least one precision and one image to compare on")
    base = omz.check_name(weights.spec.name if options.name is None else options.name)
    names: dict[Output, str] = {"index": base, "soft": f"{base}-soft"}
    for name in names.values():
        _check_place(folder / name, overwrite=options.overwrite)
    omz.require_yaml()

    report("running Keras")
    reference = keras_network(weights)
    expected = [predict(reference, frame, reference.size_hw) for frame in frames]

    written = []
    with _staging(folder) as stage:
        for output, name in names.items():
            for precision in dict.fromkeys(options.precisions):
                report(f"writing and comparing {output} {precision}")
                part = omz.ir_path(name, precision)
                save_ir(openvino_model(weights, output=output, half=precision == "fp16"), stage / part)
                changed = changed_share(Engine(stage / part), frames, expected)
                _check_change(changed, output, precision)
                zeros = _check_zeros(stage / part, weights)
                written.append(ExportedIr(folder / part, output, precision, changed, zeros))
            omz.write_description(stage / name, weights, output)
        _publish(stage, folder, names.values())
    return written


def _check_change(changed: float, output: Output, precision: Precision) -> None:
    if not changed <= MAX_CHANGED:
        raise ModelError(
            f"the {precision} IR with output {output} changes the class of {changed:.3%} of the pixels, "
            f"at most {MAX_CHANGED:.1%} is allowed: nothing was exported; check the weights with `icnet evaluate`"
        )


def _check_zeros(path: Path, weights: Weights) -> int:
    """Count the zeros of an IR in its file; pruned weights must be zero in it, and no others."""
    found, expected = model_facts(str(path)).kernel_zeros, kernel_zeros(weights)
    if found != expected:
        raise ModelError(
            f"{path.name} holds {found} zeros among its kernel weights instead of {expected}: nothing was exported; "
            "report this with the weights"
        )
    return expected


def _check_place(folder: Path, *, overwrite: bool) -> None:
    """Refuse a place before the minutes that Keras takes."""
    if folder.parent.exists() and not folder.parent.is_dir():
        raise OutputError(f"{folder.parent} is a file: choose another folder")
    if folder.exists() and not overwrite:
        raise OutputError(f"{folder} exists already: choose another folder or name, or add --overwrite")
    if folder.exists() and not (folder / omz.MODEL_YML).is_file():
        raise OutputError(f"{folder} holds something else than an exported model: choose another folder or name")


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A temporary folder inside `folder`, gone afterwards; so is `folder` if it was made for this and is still empty."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".icnet-export-", dir=folder))
    except OSError as error:
        raise OutputError(f"cannot write into {folder} ({error.strerror or error}): choose another folder") from error
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        if made and not any(folder.iterdir()):
            folder.rmdir()


def _publish(stage: Path, folder: Path, names: Iterable[str]) -> None:
    """Put finished folders in their places, all or none; earlier ones go into the stage and are removed with it."""
    try:
        with ExitStack() as undo:
            for name in names:
                if (folder / name).exists():
                    _rename(folder / name, stage / f"{name}.old", undo)
                _rename(stage / name, folder / name, undo)
            undo.pop_all()
    except OSError as error:
        raise OutputError(f"cannot write into {folder} ({error.strerror or error}): choose another folder") from error


def _rename(source: Path, target: Path, undo: ExitStack) -> None:
    source.rename(target)
    undo.callback(target.rename, source)
