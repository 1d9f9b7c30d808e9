"""`icnet doctor`: what a report of a fault should contain."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from icnet.measure.doctor import Finding


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Examine this machine and this installation: what to look at first, and what a report of a fault should contain.

    Versions, processor, packages with what they are for, OpenVINO's devices, the cache, the digests of all models, and the
    default model on a synthetic picture: how long it takes, and whether the classes are what they should be. Nothing is sent.
    The exit code is 1 if something is wrong; packages for other tasks may be missing.
    """
    from rich.console import Console

    from icnet.cli.terminal import emit, show
    from icnet.measure.doctor import examine

    with Console(stderr=True).status("examining"):
        findings = list(examine())
    wrong = [one for one in findings if not one.good]
    if as_json:
        emit({"good": not wrong, "findings": [asdict(one) for one in findings]})
    else:
        Console().print(_table(findings))
        for one in findings:
            if one.advice:
                show(f"{'WRONG: ' if not one.good else ''}{one.name}: {one.advice}")
        show(f"{len(wrong)} things are wrong" if wrong else "nothing is wrong")
    if wrong:
        raise typer.Exit(1)


def _table(findings: list[Finding]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from icnet.cli.terminal import plain

    table, last = Table("", "", show_header=False), ""
    for one in findings:
        if one.section != last:
            table.add_section()
        last = one.section
        style = "" if one.good else "bold red"
        table.add_row(Text(plain(one.name), style=style), Text(plain(one.value), style=style, overflow="fold"))
    return table
