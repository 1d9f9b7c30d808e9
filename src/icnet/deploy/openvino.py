"""Export to OpenVINO IR, each file compared with Keras on given images before it reaches its place."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import openvino as ov

from icnet.base.classes import CAMVID, Classes
from icnet.base.errors import ModelError, OutputError, UsageError
from icnet.deploy import omz
from icnet.deploy.quantize import Quantized, require_nncf
from icnet.evaluation.accuracy import Network, predict
from icnet.evaluation.reference import keras_network, require_keras
from icnet.network.openvino_model import Output, openvino_model, with_output
from icnet.network.stored import BLANK, MARK, sealed
from icnet.network.weights import Weights, kernel_zeros
from icnet.runtime.engine import Engine
from icnet.runtime.facts import ABOUT_MODEL, model_facts
from icnet.runtime.ir import ABOUT, CLASSES

Precision = Literal["fp32", "fp16", "int8"]
"""How kernels are stored. `int8` says how they are multiplied too; otherwise the arithmetic is the device's choice."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""Every precision that `export` can write."""

FLOAT: tuple[Precision, ...] = ("fp32", "fp16")
"""What it writes unless told otherwise."""

MAX_CHANGED = 0.001
"""Largest share of pixels whose class may differ from Keras."""


@dataclass(frozen=True)
class ExportOptions:
    """What to write."""

    name: str | None = None
    """Base name of folders and files; the network's own name if not given."""
    precisions: tuple[Precision, ...] = FLOAT
    outputs: tuple[Output, ...] = ("index", "soft")
    """`logits` are for this project's own runtime, which decodes faster than a graph."""
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
    """Share of the compared pixels whose class differs from Keras, which for `int8` is limited by the guard on mIoU only."""
    kernel_zeros: int
    """Zeros among its kernel weights, counted in the file: as many as the weights have, `int8` more."""


def model_info(classes: Classes) -> dict[str, str]:
    """What Intel's Model API reads from an IR, so that it needs no configuration; it takes spaces for the ends of names."""
    return {
        "model_type": "Segmentation",
        "labels": " ".join("_".join(name.split()) for name in classes.names),
        "reverse_input_channels": "False",
        "resize_type": "standard",
    }


def save_ir(model: ov.Model, path: Path, about: dict[str, Any], classes: Classes) -> None:
    """Write `.xml` and `.bin` with the facts that Model API needs, `about` for `icnet info`, and the classes for the runtime.

    Raises:
        OutputError: the files cannot be written.
    """
    for key, value in model_info(classes).items():
        model.set_rt_info(value, ["model_info", key])
    if classes != CAMVID:  # which a reader knows by its names
        model.set_rt_info(json.dumps(classes.to_dict()), CLASSES)
    model.set_rt_info(json.dumps(about, sort_keys=True), ABOUT)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ov.save_model(model, path, compress_to_fp16=False)  # the graph says what is half
        xml = path.read_bytes() + f"<!-- {MARK}: {BLANK} -->\n".encode()
        path.write_bytes(sealed(xml, path.with_suffix(".bin").read_bytes()))
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path} ({error}): choose another place or free some space") from error


def described(weights: Weights, quantized: Quantized | None = None) -> dict[str, Any]:
    """What an IR tells about itself: accuracy, data and licence, and how it was quantized, in place of what the weights tell."""
    about = {key: weights.about[key] for key in (*ABOUT_MODEL, "licence_url") if key in weights.about}
    if quantized is None:
        return about
    return about | {
        "miou_strict": quantized.miou_strict,
        "miou_omz": quantized.miou_omz,
        "quantization": {
            **quantized.calibration,
            "miou_strict_before": quantized.miou_float,
            "float_layers": list(quantized.float_layers),
        },
    }


def changed_share(network: Network, frames: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Share of the pixels to which `network` gives another class than expected.

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
    quantized: Quantized | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> list[ExportedIr]:
    """Write an IR of each output in each precision, laid out as Open Model Zoo lays out a model.

    `<name>` holds the `index` IR, which replaces Open Model Zoo's in its Python demo and accuracy checker. `<name>-soft`
    is a second model of the same layout with the `soft` IR, for the C++ demo and Model API; `<name>-logits` one for
    `Segmenter`.

    Args:
        weights: the trained network.
        folder: where the two model folders go.
        frames: (H, W, 3) uint8 BGR images to compare on, of scenes like those the network was trained for; at least one.
        options: names, precisions, outputs, overwriting.
        quantized: the same network in eight bits, for the precision `int8`.
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
    if not frames:
        raise UsageError("nothing to compare on: give at least one image")
    assert quantized is not None or "int8" not in options.precisions, "int8 needs a quantized model"
    names = check_export(weights, folder, options)

    report("running Keras")
    reference = keras_network(weights)
    expected = [predict(reference, frame, reference.size_hw) for frame in frames]

    written = []
    with _staging(folder) as stage:
        for output, name in names.items():
            for precision in dict.fromkeys(options.precisions):
                report(f"writing and comparing {output} {precision}")
                part = omz.ir_path(name, precision)
                if precision == "int8" and quantized is not None:
                    save_ir(
                        with_output(quantized.model.clone(), output),
                        stage / part,
                        described(weights, quantized),
                        weights.spec.classes,
                    )
                    engine = Engine(stage / part)
                    _check_change(changed_share(engine, frames, quantized.classes(frames)), output, precision)
                    changed = changed_share(engine, frames, expected)
                else:
                    model = openvino_model(weights, output=output, half=precision == "fp16")
                    save_ir(model, stage / part, described(weights), weights.spec.classes)
                    changed = changed_share(Engine(stage / part), frames, expected)
                    _check_change(changed, output, precision)
                zeros = _check_zeros(stage / part, weights, quantized=precision == "int8")
                written.append(ExportedIr(folder / part, output, precision, changed, zeros))
            omz.write_description(stage / name, weights, output, quantized)
        _publish(stage, folder, names.values())
    return written


def check_export(weights: Weights, folder: Path, options: ExportOptions) -> dict[Output, str]:
    """Find out what can be known before any work: the folders' names by output.

    Raises:
        OutputError: a folder exists already and may not be replaced.
        UsageError: the name is not usable, there is nothing to write, or PyYAML, Keras or NNCF is missing.
    """
    if not options.precisions or not options.outputs:
        raise UsageError("nothing to export: give at least one precision and one output")
    base = omz.check_name(weights.spec.name if options.name is None else options.name)
    names: dict[Output, str] = {output: base if output == "index" else f"{base}-{output}" for output in options.outputs}
    for name in names.values():
        _check_place(folder / name, overwrite=options.overwrite)
    omz.require_yaml()
    require_keras("export")
    if "int8" in options.precisions:
        require_nncf()
    return names


def _check_change(changed: float, output: Output, precision: Precision) -> None:
    if not changed <= MAX_CHANGED:
        raise ModelError(
            f"the {precision} IR with output {output} changes the class of {changed:.3%} of the pixels, "
            f"at most {MAX_CHANGED:.1%} is allowed: nothing was exported; check the weights with `icnet evaluate`"
        )


def _check_zeros(path: Path, weights: Weights, *, quantized: bool) -> int:
    """Count the zeros of an IR in its file; pruned weights must be zero in it, and others only where eight bits are too few."""
    found, expected = model_facts(str(path)).kernel_zeros, kernel_zeros(weights)
    assert found is not None, "an IR has a file"
    if found < expected or (found > expected and not quantized):
        raise ModelError(
            f"{path.name} holds {found} zeros among its kernel weights instead of {expected}: nothing was exported; "
            "report this with the weights"
        )
    return found


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
