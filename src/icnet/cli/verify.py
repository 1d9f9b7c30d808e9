"""`icnet verify`: are the model files what they were made as?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from icnet.network.verify import Check

_SAID = {"good": "good", "bad": "DAMAGED", "absent": "not here", "unknown": "unknown"}


def verify(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...]",
            help="Published name, .safetensors or .xml file, folder of a push, or hf://USER/NAME; all if not given.",
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="PUBLIC", help="Public key (elliptic, PEM) that everything must be signed with.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
) -> None:
    """Compare model files with their digests: all that came with this version and all that was pulled, or those given.

    Bundled files are compared with the table in the program, pulled ones with the manifest that came with them, others with
    FILE.sha256 beside them or the digest that they hold. The exit code is 1 if a file is not what it was made as, or a given one
    cannot be told.
    """
    from rich.console import Console

    from icnet.base.errors import UsageError
    from icnet.cli.terminal import emit, show
    from icnet.network.verify import verify as check
    from icnet.network.verify import verify_all

    if key is not None and not models:
        raise UsageError("--key is for models that are signed: name the folder of a push, or hf://USER/NAME")
    checks = [one for model in models for one in check(model, key)] if models else list(verify_all())
    wrong = [one for one in checks if one.state in ("bad", "unknown")]
    if as_json:
        emit({"good": not wrong, "checks": [asdict(one) for one in checks]})
    else:
        Console().print(_table(checks))
        for one in wrong:
            show(f"{one.file}: {one.advice}")
    if wrong:
        raise typer.Exit(1)


def _table(checks: list[Check]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from icnet.cli.terminal import plain

    table, last = Table("", "file", "compared with"), ""
    for one in checks:
        if one.model not in (last, one.file, Path(one.file).stem):
            table.add_section()
            table.add_row("", Text(plain(one.model), style="bold", overflow="fold"), "")
        last = one.model
        table.add_row(_SAID[one.state], *(Text(plain(cell), overflow="fold") for cell in (one.file, one.by)))
    return table
