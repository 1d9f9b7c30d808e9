"""Charts of results, drawn with matplotlib, which is imported only for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icnet.base.classes import Classes
from icnet.base.errors import UsageError
from icnet.base.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RIGHT, _WRONG, _BAR = "#288c3c", "#c83232", "#4682b4"

_DARK = 0.6
"""From this share on a cell is so dark that its figure is written in white."""


_LARGEST = 60.0
"""Inches of a confusion matrix."""


def drawable(path: Path, notify: Callable[[str], None]) -> bool:
    """Whether a chart can be drawn; `notify` takes the line about matplotlib if it is missing.

    Raises:
        UsageError: there is no image format of that suffix, which a long evaluation must not end with.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # without a home it would tell where it puts its files
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        notify("no picture: drawing needs matplotlib, which is not installed: run pip install 'icnet[plot]'")
        return False
    except OSError:
        notify("no picture: matplotlib finds no folder to write its files to: set MPLCONFIGDIR to one")
        return False
    if path.suffix.lower().removeprefix(".") not in FigureCanvasBase.get_supported_filetypes():
        raise UsageError(f"no image format for the name {path.name!r}: give the picture a name that ends in .png")
    return True


def draw_confusion(matrix: np.ndarray, classes: Classes) -> Figure:
    """A confusion matrix, each row as shares of its true class in percent; one without pixels shows no figures.

    Args:
        matrix: (C, C) integer pixels, rows are truth.
        classes: what rows and columns are called.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    count, side = len(classes), max(9.0, min(_LARGEST, 0.75 * len(classes)))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("wrong to right", [_WRONG, "white", _RIGHT])
    axes.imshow(np.where(np.eye(count), shares, -shares), cmap=colours, vmin=-1, vmax=1)
    for row, column in np.argwhere(np.broadcast_to(totals, shares.shape)):
        share = shares[row, column]
        ink = "white" if share >= _DARK else "black"
        axes.text(column, row, f"{100 * share:.1f}", color=ink, ha="center", va="center")
    axes.set(title="% of each true class", xlabel="prediction", ylabel="truth")
    axes.set_xticks(range(count), classes.names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), classes.names)
    axes.set_xticks(np.arange(count - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(count - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="gainsboro")
    axes.tick_params(which="both", length=0)
    return figure


def draw_times(title: str, bars: list[tuple[str, float, str]]) -> Figure:
    """Horizontal bars from zero, the shortest in green, under a line `title`; each bar has a name, a value and a label."""
    from matplotlib.figure import Figure

    names, values, labels = zip(*bars, strict=True)
    figure = Figure(figsize=(10, 1 + 0.45 * len(bars)), layout="constrained")
    axes = figure.subplots()
    colours = [_RIGHT if value == min(values) else _BAR for value in values]
    drawn = axes.barh(range(len(bars)), values, tick_label=names, color=colours)
    axes.bar_label(drawn, labels, padding=6)
    axes.set_title(title, loc="left")
    axes.margins(x=0.2)  # the longest bar's label
    axes.invert_yaxis()  # the first on top
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a chart in the format of the suffix, which `drawable` has accepted.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path, durable=True) as temporary:
        figure.savefig(temporary)
