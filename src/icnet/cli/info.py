"""`icnet info`: the figures of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from icnet.network.spec import DEFAULT_MODEL, DENSE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from icnet.base.classes import Classes
    from icnet.runtime.facts import Facts


def info(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="A published name, a .safetensors or .xml file, or hf://USER/NAME.")
    ] = DEFAULT_MODEL,
    layers: Annotated[bool, typer.Option("--layers", help="Also list every convolution, beside the dense network's.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document on stdout.")] = False,
) -> None:
    """Show a model's size, zeros, operations, accuracy and checksum.

    Everything is counted from the graph and the file. Of a published model whose weights do not come with this version,
    only the graph is counted.
    """
    from icnet.cli.terminal import emit, show
    from icnet.runtime.facts import model_facts

    facts = model_facts(model)
    if as_json:
        emit(facts.to_dict(layers=layers))
        return
    for name, value in facts.to_dict().items():
        if name == "removed":
            value = f"{facts.removed:.1%} of the kernel weights of {DENSE.name}, {facts.dense_kernel_weights:,}"
        if name == "size":
            value = "{}x{}".format(*facts.size_hw)
        if name == "classes":
            value = _names(facts.classes)
        if name != "dense_kernel_weights":  # said with `removed`
            show(f"{name:<18}{_shown(value)}")
    if layers:
        show("")
        for row in _table(facts):
            show(row)


def _names(classes: Classes) -> str:
    names = [f"{name} (no label)" if index == classes.void else name for index, name in enumerate(classes.names)]
    return f"{len(names)}: {', '.join(names)}"


def _shown(value: object) -> str:
    if value is None:
        return "unknown (no weights of this model here)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(facts: Facts) -> Iterator[str]:
    """Lines of the table of layers; channels are kept / dense, a dash is what cannot be known."""
    columns = "{:<20}{:>16}{:>12}{:>12}{:>9}{:>12}{:>12}{:>12}{:>12}"
    yield columns.format("layer", "kernel", "weights", "zeros", "share", "in", "out", "MFLOPs", "dense")
    for layer in facts.layers:
        of_dense = [f"/{count}" for count in layer.dense_kernel_shape] if layer.dense_kernel_shape else [""] * 4
        yield columns.format(
            layer.name,
            "x".join(map(str, layer.kernel_shape)),
            f"{layer.kernel_weights:,}",
            "-" if layer.kernel_zeros is None else f"{layer.kernel_zeros:,}",
            "-" if layer.sparsity is None else f"{layer.sparsity:.2%}",
            f"{layer.kernel_shape[2]}{of_dense[2]}",
            f"{layer.kernel_shape[3]}{of_dense[3]}",
            f"{layer.mflops:,.1f}",
            "-" if layer.dense_mflops is None else f"{layer.dense_mflops:,.1f}",
        )
