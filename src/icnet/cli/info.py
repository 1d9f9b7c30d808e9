"""`icnet info`: the figures of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from icnet.base.spec import DEFAULT_MODEL


def info(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="A published name, a .safetensors or an .xml file.")
    ] = DEFAULT_MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document on stdout.")] = False,
) -> None:
    """Show a model's size, zeros, operations, accuracy and checksum.

    Everything is counted from the graph and the file. Of a published model whose weights do not come with this version,
    only the graph is counted.
    """
    from icnet.cli.terminal import emit
    from icnet.runtime.facts import model_facts

    facts = model_facts(model)
    if as_json:
        emit(facts.to_dict())
        return
    for name, value in facts.to_dict().items():
        typer.echo(f"{name:<15}{_shown(value)}")


def _shown(value: object) -> str:
    if value is None:
        return "unknown (no weights of this model here)"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
