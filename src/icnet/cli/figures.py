"""What `icnet evaluate` tells: one JSON document, or tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from icnet.cli.terminal import plain

if TYPE_CHECKING:
    from rich.table import Table

    from icnet.evaluation.accuracy import Evaluation
    from icnet.evaluation.comparison import Change, Comparison
    from icnet.evaluation.interval import Interval


def document(model: str, split: str, result: Evaluation, interval: Interval) -> dict[str, Any]:
    """The JSON document; a figure that does not exist (a class that never occurs, none for "no label") is null."""
    from icnet.evaluation.boundary import RATIO

    scores = result.scores
    names = result.classes.names
    boundary = {names[index]: figure(float(value)) for index, value in zip(result.classes.scored, result.boundary, strict=True)}
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
        "absent": list(scores.absent),
        "interval_95": _ends(interval),
        "interval_over": interval.over,
        "boundary_miou": figure(result.boundary_miou),
        "boundary_iou": boundary,
        "boundary_ratio": RATIO,
        "ece": figure(result.reliability.error if result.reliability else None),
    }


def comparison_document(model: str, result: Evaluation, found: Comparison, names: list[str]) -> dict[str, Any]:
    """What `against` holds: the other model's figures, and how much the first one is above them."""
    return {
        "model": model,
        "miou_strict": figure(result.scores.miou_strict),
        "difference": figure(found.miou.difference),
        "interval_95": _ends(found.miou.interval),
        "classes": {
            name: {"difference": figure(change.difference), "interval_95": _ends(change.interval)}
            for name, change in zip(names, found.classes, strict=True)
        },
        "better": dict(found.better),
        "worse": dict(found.worse),
    }


def figure(value: float | None) -> float | None:
    """A figure for JSON, which has no NaN."""
    return None if value is None or math.isnan(value) else value


def _ends(interval: Interval) -> list[float | None]:
    return [figure(interval.low), figure(interval.high)]


def table(model: str, split: str, result: Evaluation, interval: Interval) -> Table:
    """The figures in percent."""
    from rich.table import Table
    from rich.text import Text

    scores = result.scores
    table = Table("", "%", title=Text(plain(f"{model} on {result.images} images of {split}")))
    table.columns[1].justify = "right"
    table.add_row("mIoU, strict rule", _percent(scores.miou_strict))
    table.add_row(
        f"  95 % interval over {interval.units} {interval.over}", f"{_percent(interval.low)} to {_percent(interval.high)}"
    )
    for name, value in (
        ("mIoU, Open Model Zoo rule", scores.miou_omz),
        ("boundary mIoU", result.boundary_miou),
        ("pixel accuracy", scores.pixel_accuracy),
        ("calibration error (ECE)", result.reliability.error if result.reliability else None),
        ("labelled pixels called Unlabeled", scores.given_up),
        ("pixels without a label called Unlabeled", scores.void_found),
    ):
        if value is not None:
            table.add_row(name, _percent(value))
    table.add_section()
    for name, value in scores.iou.items():
        table.add_row(f"IoU {plain(name)}", _percent(value, "absent"))
    return table


def comparison_table(model: str, found: Comparison, names: list[str]) -> Table:
    """Differences in points, those that are more than luck marked."""
    from rich.table import Table
    from rich.text import Text

    table = Table("", "points", "95 % interval", "", title=Text(plain(f"above {model} by")))
    for column in table.columns[1:3]:
        column.justify = "right"
    rows = [
        ("mIoU, strict rule", found.miou),
        *((f"IoU {plain(name)}", one) for name, one in zip(names, found.classes, strict=True)),
    ]
    for name, change in rows:
        if not math.isnan(change.difference):
            ends = f"{100 * change.interval.low:+.2f} to {100 * change.interval.high:+.2f}"
            table.add_row(name, f"{100 * change.difference:+.2f}", ends, _verdict(change))
    for title, pictures in (("better", found.better), ("worse", found.worse)):
        if pictures:
            table.add_section()
        for name, difference in pictures:
            table.add_row(Text(plain(name)), f"{100 * difference:+.2f}", "", title)
    return table


def _verdict(change: Change) -> str:
    if not change.sure:
        return "may be luck"
    return "better" if change.difference > 0 else "worse"


def _percent(value: float, missing: str = "none there") -> str:
    return missing if math.isnan(value) else f"{100 * value:.2f}"
