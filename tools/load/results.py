"""Figures, their bars, and the machine that they were taken on."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from icnet.base.cores import visible_cores

PACKAGES = ("icnet", "openvino", "starlette", "h11", "grpcio", "protobuf", "tritonclient", "schemathesis")


_DETAILS, _WIDTH = 5, 110


@dataclass(frozen=True)
class Figure:
    """Something measured."""

    name: str
    """With its unit."""
    value: Any
    bar: str = ""
    """What is asked of it, in words; empty if nothing is."""
    met: bool = True
    speed: bool = False
    """Whether it depends on how fast and how busy the machine is."""
    details: tuple[str, ...] = ()
    """What went wrong."""

    @classmethod
    def at_most(cls, name: str, value: float, bar: float, *, speed: bool = False) -> "Figure":
        """A figure that must not be above its bar."""
        return cls(name, value, f"<= {bar:g}", value <= bar, speed)

    @classmethod
    def at_least(cls, name: str, value: float, bar: float, *, speed: bool = False) -> "Figure":
        """A figure that must not be below its bar."""
        return cls(name, value, f">= {bar:g}", value >= bar, speed)

    @classmethod
    def exactly(cls, name: str, value: Any, bar: Any) -> "Figure":
        """A figure that must have one value."""
        return cls(name, value, f"= {bar}", value == bar)

    @classmethod
    def none(cls, name: str, faults: Sequence[str]) -> "Figure":
        """The number of faults, which must be 0."""
        return cls(name, len(faults), "= 0", not faults, details=tuple(sorted(set(faults))[:_DETAILS]))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` (0 to 1) of all; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def spread_ms(name: str, seconds: Sequence[float], *, p99: float | None = None, most: float | None = None) -> list[Figure]:
    """Median, 99th percentile and maximum of durations in milliseconds.

    Args:
        name: of what took so long.
        seconds: durations.
        p99: bar of the 99th percentile in milliseconds.
        most: bar of the maximum in milliseconds.
    """
    figures = []
    for part, share, bar in (("p50", 0.5, None), ("p99", 0.99, p99), ("max", 1.0, most)):
        text, value = f"{name}, {part} ms", 1e3 * percentile(seconds, share)
        figures.append(Figure(text, value) if bar is None else Figure.at_most(text, value, bar, speed=True))
    return figures


def card() -> dict[str, Any]:
    """Where figures were taken."""
    cpu = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    return {
        "cpu": cpu,
        "cores": visible_cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print a table on stderr."""
    table = Table(title=title, title_justify="left")
    for column in ("figure", "value", "bar", ""):
        table.add_column(column, justify="right" if column == "value" else "left")
    for figure in figures:
        value = f"{figure.value:.3g}" if isinstance(figure.value, float) and figure.value < 100 else figure.value
        text = f"{value:.0f}" if isinstance(value, float) else str(value)
        table.add_row(figure.name, text, figure.bar, ("met" if figure.met else "MISSED") if figure.bar else "")
    console = Console(stderr=True, width=_WIDTH)
    console.print(table)
    for figure in figures:
        for detail in figure.details:
            console.print(f"{figure.name}: {detail}", markup=False)


def document(runs: Mapping[str, Sequence[Figure]], model: str) -> dict[str, Any]:
    """Everything as one JSON document."""
    results = {name: [asdict(figure) for figure in figures] for name, figures in runs.items()}
    return {"card": card() | {"model": model}, "met": all(figure.met for run in runs.values() for figure in run), "bars": results}
