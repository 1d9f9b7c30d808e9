"""Two small charts as inline SVG: a page that holds them needs neither a network nor matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from icnet.evaluation.calibration import BINS, Reliability

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 440, 260, 60, 28, 12, 36
"""Of a chart, and the room around its frame, in pixels."""


def line_chart(title: str, across: str, xs: Sequence[float], ys: Sequence[float]) -> str:
    """A line through points, in the order given; points that are not finite are left out.

    Args:
        title: above it.
        across: what the x axis shows.
        xs: from left to right.
        ys: as many.
    """
    points = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True) if np.isfinite([x, y]).all()]
    if not points:
        return _chart(title, across, (0, 1), (0, 1), _text(_LEFT + 10, _HEIGHT / 2, "nothing yet", "start"))
    x_range, y_range = (_range([point[axis] for point in points]) for axis in (0, 1))
    placed = [_place(x, y, x_range, y_range) for x, y in points]
    line = f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}"/>'
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in placed) if len(placed) <= 60 else ""
    return _chart(title, across, x_range, y_range, line + dots)


def reliability_chart(diagram: Reliability) -> str:
    """Accuracy over confidence in `BINS` bars, beside the diagonal on which a calibrated network lies."""
    whole = (0.0, 1.0)
    bars = ""
    for index in range(BINS):
        if diagram.pixels[index]:
            left, top = _place(index / BINS, float(diagram.accuracy[index]), whole, whole)
            right, bottom = _place((index + 1) / BINS, 0, whole, whole)
            share = f"{100 * diagram.pixels[index] / diagram.pixels.sum():.2g} % of the pixels"
            bars += (
                f'<rect class="bar" x="{left:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" height="{bottom - top:.1f}">'
                f"<title>{share}: confidence {diagram.confidence[index]:.3f}, right {diagram.accuracy[index]:.3f}</title></rect>"
            )
    (x0, y0), (x1, y1) = _place(0, 0, whole, whole), _place(1, 1, whole, whole)
    diagonal = f'<line class="ideal" x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}"/>'
    return _chart("share of pixels that is right", "confidence", whole, whole, bars + diagonal)


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _place(x: float, y: float, x_range: tuple[float, float], y_range: tuple[float, float]) -> tuple[float, float]:
    across, up = ((value - low) / (high - low) for value, (low, high) in ((x, x_range), (y, y_range)))
    return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)


def _chart(title: str, across: str, x_range: tuple[float, float], y_range: tuple[float, float], inside: str) -> str:
    low, high = _HEIGHT - _BOTTOM, _TOP
    frame = f'<rect class="frame" x="{_LEFT}" y="{high}" width="{_WIDTH - _LEFT - _RIGHT}" height="{low - high}"/>'
    labels = [
        _text(_LEFT, 16, title, "start"),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, across, "middle"),
        _text(_LEFT, low + 14, f"{x_range[0]:.4g}", "start"),
        _text(_WIDTH - _RIGHT, low + 14, f"{x_range[1]:.4g}", "end"),
        _text(_LEFT - 6, low, f"{y_range[0]:.3g}", "end"),
        _text(_LEFT - 6, high + 10, f"{y_range[1]:.3g}", "end"),
    ]
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{frame}{inside}{"".join(labels)}</svg>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
