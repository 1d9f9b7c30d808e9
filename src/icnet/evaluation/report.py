"""An evaluation as one HTML file that needs nothing else: no network, no scripts, no other file.

What comes from outside (names, facts, numbers of a log) is escaped, and a policy in the page forbids it to load anything.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from icnet.base.files import write_bytes
from icnet.evaluation.accuracy import Evaluation
from icnet.evaluation.boundary import RATIO
from icnet.evaluation.interval import Interval, miou_interval
from icnet.evaluation.svg import line_chart, reliability_chart
from icnet.evaluation.worst import Shown
from icnet.runtime.facts import model_facts

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1120px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff; }
table { border-collapse: collapse; } th, td { padding: 2px 8px; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; } .charts { display: flex; flex-wrap: wrap; gap: 1em; }
.charts svg { width: 440px; max-width: 100%; } .wide { overflow-x: auto; }
.small td, .small th { font-size: 12px; padding: 2px 4px; }
svg text { font: 12px system-ui, sans-serif; fill: #444; } .frame { fill: none; stroke: #bbb; }
.line { fill: none; stroke: #1f6fb2; stroke-width: 2; } .dot, .bar { fill: #1f6fb2; }
.ideal { stroke: #c83232; stroke-dasharray: 4; }
.swatch { display: inline-block; width: 1em; height: 1em; vertical-align: -2px; border: 1px solid #888; margin-right: 6px; }
figure { margin: 1em 0; } figure img { width: 32.5%; image-rendering: auto; } figcaption { color: #444; } .note { color: #555; }
"""


@dataclass(frozen=True)
class Contents:
    """What a report tells besides the evaluation."""

    title: str
    """Such as the model and the split."""
    facts: Mapping[str, object]
    """Of the model and its training, shown as a table; those that are None are left out."""
    pictures: Sequence[Shown] = ()
    """The worst ones."""
    log: Path | None = None
    """`log.csv` of the run, for the learning curves."""


def model_rows(model: str) -> dict[str, object]:
    """Facts of a model for a report, as its file tells them.

    Args:
        model: a published name, a `.safetensors` or an `.xml` path.

    Raises:
        ModelError: see `icnet.runtime.facts.model_facts`.
    """
    facts = model_facts(model)
    height, width = facts.size_hw
    return {
        "network": facts.model,
        "input": f"{height} x {width} (height x width)",
        "parameters": f"{facts.parameters:,}",
        "GFLOPs": f"{facts.gflops:.2f}",
        "SHA-256": facts.sha256,
        **facts.about,
    }


def write_report(path: Path, result: Evaluation, contents: Contents) -> None:
    """Write the page.

    Raises:
        OutputError: the file cannot be written.
    """
    write_bytes(path, report(result, contents).encode())


def report(result: Evaluation, contents: Contents) -> str:
    """The page as text."""
    title = escape(contents.title)
    parts = [_figures(result, miou_interval(result.tally)), _curves(contents.log), _classes(result), _calibration(result)]
    parts += [_confusion(result), _worst(result, contents.pictures), _facts(contents.facts)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>\n{''.join(parts)}</body></html>\n"
    )


def _figures(result: Evaluation, interval: Interval) -> str:
    scores = result.scores
    rows: list[tuple[str, str]] = [
        ("mIoU, strict rule", _percent(scores.miou_strict)),
        (f"95 % interval over {interval.units} {interval.over}", f"{_percent(interval.low)} to {_percent(interval.high)}"),
        ("mIoU, Open Model Zoo rule", _percent(scores.miou_omz)),
        (f"boundary mIoU, {100 * RATIO:g} % of the diagonal", _percent(result.boundary_miou)),
        ("pixel accuracy", _percent(scores.pixel_accuracy)),
        ("calibration error (ECE)", _percent(result.reliability.error if result.reliability else None)),
        ("labelled pixels called unlabelled", _percent(scores.given_up)),
        ("pictures", f"{result.images:,}"),
    ]
    note = "Frames of one drive resemble each other: the interval is for other pictures of the same drives, not for other drives."
    absent = f"Not in the truth, so in no mean: {', '.join(scores.absent)}." if scores.absent else ""
    return _table(("", ""), [row for row in rows if row[1]]) + _note(note if interval.over == "pictures" else "") + _note(absent)


def _curves(log: Path | None) -> str:
    if log is None or not log.is_file():
        return ""
    with log.open(newline="", errors="replace") as file:
        rows = list(csv.DictReader(file))
    charts = []
    for column, title in (("loss", "loss"), ("miou_strict", "strict mIoU on val"), ("learning_rate", "learning rate")):
        points = [(_number(row.get("epoch")), _number(row.get(column))) for row in rows]
        charts.append(line_chart(title, "epoch", *(zip(*points, strict=True) if points else ((), ()))))
    return f'<h2>Learning</h2><div class="charts">{"".join(charts)}</div>'


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _classes(result: Evaluation) -> str:
    table, tally = result.classes, result.tally
    rows = []
    for place, index in enumerate(table.scored):
        name = table.names[index]
        colour = "#{:02x}{:02x}{:02x}".format(*table.palette[index])
        rows.append(
            (
                f'<span class="swatch" style="background:{colour}"></span>{escape(name)}',
                _percent(result.scores.iou[name]) or "absent",
                _percent(float(result.boundary[place])) or "absent",
                f"{int(tally.truth[:, place].sum()):,}",
                f"{int((tally.truth[:, place] > 0).sum()):,}",
            )
        )
    return "<h2>Classes</h2>" + _table(("class", "IoU", "boundary IoU", "pixels", "pictures"), rows, escaped=True)


def _calibration(result: Evaluation) -> str:
    if result.reliability is None:
        return ""
    note = "A bar below the dashed line: the network is surer than it is right."
    return f'<h2>Confidence</h2><div class="charts">{reliability_chart(result.reliability)}</div>{_note(note)}'


def _confusion(result: Evaluation) -> str:
    names = result.classes.names
    shares = result.confusion / np.maximum(result.confusion.sum(axis=1, keepdims=True), 1)
    rows = []
    for truth in result.classes.scored:
        cells = ""
        for found, share in enumerate(shares[truth]):
            colour = f"rgba(40,140,60,{share:.3f})" if found == truth else f"rgba(200,50,50,{share:.3f})"
            cells += f'<td style="background:{colour}">{100 * share:.1f}</td>'
        rows.append(f"<tr><th>{escape(names[truth])}</th>{cells}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return (
        f"<h2>Confusion</h2>{_note('Per cent of each true class (row) that is called so (column).')}"
        f'<div class="wide"><table class="small"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'
    )


def _worst(result: Evaluation, pictures: Sequence[Shown]) -> str:
    if not pictures:
        return ""
    figures = [
        f"<figure><figcaption>{escape(one.name)}: {_percent(one.miou)} over the classes in it</figcaption>"
        + "".join(
            f'<img src="{uri}" alt="{what} of {escape(one.name)}">'
            for what, uri in (("picture", one.picture), ("truth", one.truth), ("prediction", one.predicted))
        )
        + "</figure>"
        for one in pictures
    ]
    return f"<h2>The worst pictures</h2>{_note('Picture, truth, prediction. Wrong labels often show here.')}{''.join(figures)}"


def _facts(facts: Mapping[str, object]) -> str:
    rows = [(name, str(value)) for name, value in facts.items() if value is not None]
    return "<h2>The model</h2>" + _table(("", ""), rows) if rows else ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, escaped: bool = False) -> str:
    def row(cells: tuple[str, ...], kind: str) -> str:
        return "<tr>" + "".join(f"<{kind}>{cell if escaped else escape(cell)}</{kind}>" for cell in cells) + "</tr>"

    top = row(head, "th") if any(head) else ""
    return f"<table>{top}{''.join(row(cells, 'td') for cells in rows)}</table>"


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>' if text else ""


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{100 * value:.2f} %"
