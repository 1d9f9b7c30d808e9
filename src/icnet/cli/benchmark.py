"""`icnet benchmark`: the networks side by side on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from icnet.measure.benchmark import Benchmark


def benchmark(
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds in which everything has its turn; 20 if not given.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores if not given.")] = None,
    picture: Annotated[Path, typer.Option(help="Where the result is drawn, if matplotlib is installed.")] = Path("benchmark.png"),
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Draw nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Measure how fast the compact network is against the dense one that Open Model Zoo ships, on this machine.

    One process, one frame at a time, everything in turn. The dense network has untrained weights, which changes no time. A large
    matrix product is measured beside it, to see what the machine can do. Let nothing else run meanwhile: a ratio that spreads by
    more than 25 %, or comes from fewer than 10 rounds, is not stated.

    Quantizing the dense network needs NNCF, and ONNX Runtime is measured only where it is installed.
    """
    from rich.console import Console

    from icnet.cli.terminal import complain, emit, given, say
    from icnet.evaluation.charts import draw_times, drawable, save
    from icnet.measure.benchmark import BenchmarkOptions
    from icnet.measure.benchmark import benchmark as run
    from icnet.street.drive import StreetDrive, StreetOptions

    drawing = not no_picture and drawable(picture, notify=complain)
    options = BenchmarkOptions(**given(rounds=rounds, threads=threads))
    with Console(stderr=True).status("preparing") as status:
        frame = StreetDrive(StreetOptions())[0].image
        result = run(frame, options=options, report=status.update)
    if as_json:
        emit(result.to_dict())
    else:
        _show(Console(), result)
    if drawing:
        save(draw_times(*_drawn(result)), picture)
        say(f"picture: {picture}")


def _show(console: Any, result: Benchmark) -> None:
    machine = result.machine
    instructions = ", ".join(machine["instructions"]) or "no known vector instructions"
    console.print(f"{machine['processor']}, {machine['threads']} of {machine['cores']} cores, {instructions}", highlight=False)
    console.print(", ".join(f"{name} {version}" for name, version in result.versions.items()), highlight=False)
    console.print(_table(result))
    best = ", ".join(f"{name} {speed:,.0f}" for name, speed in result.ceiling.items())
    console.print(f"A large matrix product on the same cores, GFLOP/s: {best}", highlight=False)
    for name, reason in result.left_out.items():
        console.print(f"left out: {name}: {reason}", markup=False, highlight=False)


def _table(result: Benchmark) -> Table:
    from rich.table import Table

    options = result.options
    title = f"one 720x960 frame, {options.rounds} rounds of {options.calls} calls"
    table = Table("", "", "ms", "p90", "GFLOP/s", f"times as fast as {result.reference.name}", title=title)
    for column in table.columns[2:]:
        column.justify = "right"
    for timing in result.timings:
        what = timing.what + ("" if timing.trained else ", untrained weights")
        figures = (f"{timing.median_ms:.1f}", f"{timing.p90_ms:.1f}", f"{timing.gflops:.0f}")
        table.add_row(timing.name, what, *figures, _ratio(timing.ratio, timing.spread))
    return table


def _ratio(ratio: float | None, spread: float) -> str:
    from icnet.measure.benchmark import MAX_SPREAD

    if ratio is not None:
        return f"{ratio:.2f} (spread {spread:.0%})"
    return f"not stated, it spreads by {spread:.0%}" if spread > MAX_SPREAD else "not stated, too few rounds"


def _drawn(result: Benchmark) -> tuple[str, list[tuple[str, float, str]]]:
    """Title and bars for the picture."""
    machine = result.machine
    title = f"ms a 720x960 frame; {machine['processor']}, {machine['threads']} cores"
    bars = []
    for timing in result.timings:
        ratio = "" if timing.ratio is None else f", {timing.ratio:.1f}x"
        bars.append((timing.name, timing.median_ms, f"{timing.median_ms:.1f} ms{ratio}"))
    return title, bars
