"""Classes: what the numbers in a class map stand for. They travel with each network and each data set.

Order and colours of `CAMVID` are those of `icnet-camvid-ava` in Open Model Zoo, so that maps are interchangeable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from icnet.base.errors import UsageError

OUTSIDE: int = 255
"""Stands in labels for what is no class at all, such as pixels outside of the picture: nothing is learnt or scored there, while a
void class is learnt like others."""

MOST: int = OUTSIDE
"""Classes that a table can have, so that maps of them and `OUTSIDE` fit in bytes."""

_LONGEST = 100
"""Characters of a name."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


@dataclass(frozen=True)
class Classes:
    """A table of classes; the position of a name is its index in class maps.

    Raises:
        UsageError: names, palette, void or ignored values make no table; one line says which and why.
    """

    names: tuple[str, ...]
    """2 to 255 of them, which differ in more than case."""
    palette: tuple[Colour, ...] = ()
    """A colour for each name; `default_palette` if none is given."""
    void: int | None = None
    """Index of the class that stands for "no label" and is never scored, if there is one. A network may answer it."""
    ignored: tuple[int, ...] = (OUTSIDE,)
    """Values in masks that are no class: neither learnt nor scored."""

    def __post_init__(self) -> None:
        names = tuple(_name(name) for name in _listed("names", self.names))
        if not 2 <= len(names) <= MOST:
            raise UsageError(f"there are {len(names)} class names: expected 2 to {MOST}")
        lower = [name.casefold() for name in names]
        for name in names:
            if lower.count(name.casefold()) > 1:
                raise UsageError(f"the class name {name!r} is there twice, in whatever case: give every class its own")
        if self.void is not None and (type(self.void) is not int or not 0 <= self.void < len(names)):
            raise UsageError(f"the void class is {self.void!r:.40}: expected an index from 0 to {len(names) - 1}, or none")
        palette = tuple(_colour(colour) for colour in _listed("palette", self.palette)) or default_palette(len(names), self.void)
        if len(palette) != len(names):
            raise UsageError(f"there are {len(palette)} colours for {len(names)} classes: give each its own, or none")
        ignored = tuple(_listed("ignored values", self.ignored))
        for value in ignored:
            if type(value) is not int or not len(names) <= value <= 255:
                raise UsageError(f"the ignored value {value!r:.40} cannot be used: expected integers from {len(names)} to 255")
        for field, value in (("names", names), ("palette", palette), ("ignored", tuple(sorted(set(ignored))))):
            object.__setattr__(self, field, value)  # the one way in a frozen value

    def __len__(self) -> int:
        """How many there are."""
        return len(self.names)

    @cached_property
    def palette_rgb(self) -> np.ndarray:
        """(N, 3) uint8 RGB, read-only."""
        array = np.array(self.palette, np.uint8)
        array.setflags(write=False)
        return array

    @cached_property
    def scored(self) -> tuple[int, ...]:
        """Indices of the classes that enter mIoU: all but void."""
        return tuple(index for index in range(len(self.names)) if index != self.void)

    def index(self, name: str) -> int:
        """Index of a class by its name, in any case.

        Raises:
            UsageError: there is no such class; the line lists those that there are.
        """
        for index, known in enumerate(self.names):
            if known.casefold() == name.strip().casefold():
                return index
        raise UsageError(f"there is no class {name}: choose among {', '.join(self.names)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return {
            "names": list(self.names),
            "palette": [list(colour) for colour in self.palette],
            "void": self.void,
            "ignored": list(self.ignored),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`, also after a trip through JSON; all but `names` may be left out.

        Raises:
            UsageError: a field is unknown or missing, or its value makes no table.
        """
        if not isinstance(values, Mapping) or not {"names"} <= set(values) <= set(cls.__dataclass_fields__):
            raise UsageError(f"a table of classes has the fields {', '.join(cls.__dataclass_fields__)}, and names at least")
        return cls(**values)


def default_palette(count: int, void: int | None = None) -> tuple[Colour, ...]:
    """Colours for classes that have none, all different; black for void.

    The colour map of PASCAL VOC from 1 on: the bits of an index, lowest first, are dealt to the highest bits of red, green and
    blue in turn.
    """

    def channel(index: int, first: int) -> int:
        return sum((index >> (3 * place + first) & 1) << (7 - place) for place in range(3))

    colours = [(channel(index, 0), channel(index, 1), channel(index, 2)) for index in range(1, count + 1)]
    if void is not None:
        colours[void] = (0, 0, 0)
    return tuple(colours)


def _listed(what: str, values: Any) -> Sequence[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise UsageError(f"the {what} of classes are {values!r:.40}: expected a list")
    return values


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > _LONGEST:
        raise UsageError(f"the class name {name!r:.60} cannot be used: expected 1 to {_LONGEST} printable characters")
    return name.strip()


def _colour(colour: Any) -> Colour:
    parts = tuple(colour) if isinstance(colour, Sequence) and not isinstance(colour, str) else ()
    if len(parts) != 3 or not all(type(part) is int and 0 <= part <= 255 for part in parts):
        raise UsageError(f"the colour {colour!r:.40} of a class cannot be used: expected [red, green, blue], each from 0 to 255")
    return parts[0], parts[1], parts[2]


CAMVID = Classes(
    names=(
        *("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Vehicle", "Pedestrian", "Bike"),
        "Unlabeled",
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
        (0, 0, 0),
    ),
    void=11,
)
"""The twelve classes of CamVid, those of the bundled networks and of the synthetic street."""


def unnamed(count: int) -> Classes:
    """What a network of so many classes means that carries no table: CamVid's if there are as many, else numbers for names.

    Raises:
        UsageError: there are fewer than 2 or more than 255.
    """
    return CAMVID if count == len(CAMVID) else Classes(tuple(f"class {index}" for index in range(min(count, MOST + 1))))
