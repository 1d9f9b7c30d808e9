"""From the classes of a source to those that are wanted: renamed, merged, ordered, left out."""

from dataclasses import dataclass

import numpy as np

from icnet.base.classes import MOST, OUTSIDE, Classes, Colour
from icnet.base.errors import UsageError
from icnet.data.formats.source import Table
from icnet.data.formats.tables import Wanted


@dataclass(frozen=True, eq=False)
class Mapping:
    """What becomes of the labels of a source."""

    classes: Classes
    positions: np.ndarray
    """(256,) uint8: new index of each position in the source's table; 255 where it becomes nothing."""
    left_out: tuple[str, ...]
    """Classes of the source that become nothing."""


def map_classes(table: Table | None, wanted: Wanted | None) -> Mapping:
    """Find what becomes of each class.

    Args:
        table: of the source; None if its masks hold numbers that nothing names.
        wanted: what a classes.yaml asks for; None keeps the source's classes, but for those that it leaves out itself.

    Raises:
        UsageError: a class is wanted from what the source does not have, two are from the same, or fewer than two are left.
    """
    if table is None and wanted is None:
        raise UsageError(
            "the masks hold numbers and nothing names them: write a classes.yaml such as "
            "`classes: [{name: road, from: [0]}, {name: car, from: [1, 2]}]` and give it with --classes"
        )
    if wanted is None:
        assert table is not None
        return _kept(table)
    positions = np.full(256, OUTSIDE, np.uint8)
    colours: dict[str, Colour | None] = {}
    for index, entry in enumerate(wanted.entries):
        for source in (entry.name,) if entry.sources is None else entry.sources:
            at = _position(table, source, entry.name)
            if positions[at] != OUTSIDE:
                both = f"{wanted.entries[positions[at]].name} and {entry.name}"
                raise UsageError(f"the classes {both} are both from {source!r}: choose one of them")
            positions[at] = index
            if table is not None:
                colours.setdefault(entry.name, table.colours[at])
    if wanted.unlabelled is not None:
        positions[OUTSIDE] = next(index for index, entry in enumerate(wanted.entries) if entry.name == wanted.unlabelled)
    names = () if table is None else table.names
    left_out = tuple(name for at, name in enumerate(names) if positions[at] == OUTSIDE)
    return Mapping(wanted.classes(colours), positions, left_out)


def _kept(table: Table) -> Mapping:
    names = [name for name in table.names if name not in table.left_out]
    colours = [colour for name, colour in zip(table.names, table.colours, strict=True) if name not in table.left_out]
    known = tuple(colour for colour in colours if colour is not None)
    if len(names) < 2:
        raise UsageError(
            f"the source has {len(names)} classes, and two are needed: pixels without a label can be one, by --classes with "
            f"`{{classes: [{', '.join(names) or 'road'}, {{name: other, from: []}}], unlabelled: other}}`"
        )
    void = names.index(table.void) if table.void in names else None
    classes = Classes(tuple(names), known if len(known) == len(names) else (), void)
    positions = np.full(256, OUTSIDE, np.uint8)
    for at, name in enumerate(table.names):
        if name not in table.left_out:
            positions[at] = names.index(name)
    return Mapping(classes, positions, tuple(name for name in table.names if name in table.left_out))


def _position(table: Table | None, source: str | int, name: str) -> int:
    """Where the source's table has a class; a number is its position, or what masks hold that nothing names.

    Raises:
        UsageError: the source has no such class.
    """
    if isinstance(source, int):
        count = MOST if table is None else len(table.names)
        if 0 <= source < count:
            return source
        raise UsageError(f"the class {name} is from {source}: expected 0 to {count - 1}")
    if table is None:
        raise UsageError(
            f"the class {name} is from {source!r}, and nothing names the numbers in masks: write its number, as in `from: [0]`"
        )
    for at, known in enumerate(table.names):
        if known.casefold() == source.strip().casefold():
            return at
    raise UsageError(
        f"the class {name} is from {source!r}, which the source does not have; it has {', '.join(table.names)}; "
        "write `from: []` for a class that shall be there without"
    )
