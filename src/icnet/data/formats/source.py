"""What every format gives: the classes of a source, and its pictures with the labels of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from icnet.base.classes import MOST, OUTSIDE, Colour
from icnet.base.errors import DataError

UNLABELLED = OUTSIDE
"""Stands in labels for pixels of no class."""

UNLABELLED_COLOURS: tuple[Colour, ...] = ((0, 0, 0), (224, 224, 192))
"""Black, and that of PASCAL VOC's borders, mean no class where a table has no class of that colour."""

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a source."""

    kind: str
    """One of `icnet.data.checks.faults.KINDS`."""
    name: str
    """The picture, mask, list or class that has it."""
    text: str
    """What it is, in words; what to do about all faults of a kind stands with the kind."""
    others: tuple[str, ...] = ()
    """Further pictures that belong to it, such as the other one of a pair."""

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return {"kind": self.kind, "name": self.name, "text": self.text, "others": list(self.others)}


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of one picture."""

    ids: np.ndarray
    """(H, W) uint8 positions in the source's table, `UNLABELLED` elsewhere."""
    faults: tuple[tuple[str, str], ...] = ()
    """Kind and text of what is wrong with them."""
    orientation: int = 1
    """The EXIF orientation that was applied to a mask."""


@dataclass(frozen=True)
class Item:
    """A picture, its labels, or both."""

    name: str
    """Its path in the source without suffix, with `/`; no two have the same."""
    image: Path | None
    labels: Callable[[tuple[int, int]], Labels] | None
    """Reads or draws the labels; takes height and width of the picture, for labels that have no size of their own.

    Raises:
        InputError: they cannot be read.
    """
    split: str | None = None
    """`train`, `val` or `test`, if the source tells."""


@dataclass(frozen=True)
class Table:
    """The classes of a source."""

    names: tuple[str, ...]
    colours: tuple[Colour | None, ...] = ()
    """As many as names; None for those that have none."""
    left_out: frozenset[str] = frozenset()
    """Names that are ignored unless somebody asks for them, because the source itself does not count them."""
    void: str | None = None
    """The class that stands for "no label", if there is one."""
    ignored: frozenset[int] = frozenset({OUTSIDE})
    """Numbers in masks that are no class."""

    def __post_init__(self) -> None:
        """Refuse what no mask of one byte can hold.

        Raises:
            DataError: too many classes.
        """
        if len(self.names) > MOST:
            raise DataError(f"the source has {len(self.names)} classes: expected at most {MOST}")
        if not self.colours:
            object.__setattr__(self, "colours", (None,) * len(self.names))


@dataclass(frozen=True)
class Source:
    """Labelled pictures of one format, not read yet."""

    format: str
    """Its name in `icnet.data.formats.known`."""
    table: Table | None
    """None if masks hold numbers that nothing names: their labels are these numbers."""
    items: Sequence[Item]
    faults: tuple[Fault, ...] = field(default=())
    """Of the source as a whole, such as entries of lists that do not exist."""


def distinct(items: Sequence[Item]) -> tuple[list[Item], list[Fault]]:
    """The items without later ones of a name that was there, each of which is a fault."""
    kept: dict[str, Item] = {}
    faults: list[Fault] = []
    for item in items:
        before = kept.setdefault(item.name, item)
        if before is item:
            continue
        if before.split != item.split and before.image == item.image:
            faults.append(Fault("in-two-splits", item.name, f"is in {before.split} and in {item.split}"))
        elif before.image == item.image:
            faults.append(Fault("listed-twice", item.name, f"is listed twice in {item.split or 'the source'}"))
        else:
            faults.append(Fault("same-name", item.name, f"is the name of {before.image} and of {item.image}"))
    return list(kept.values()), faults


def with_split(item: Item, split: str | None) -> Item:
    """The same picture in another split."""
    return replace(item, split=split)
