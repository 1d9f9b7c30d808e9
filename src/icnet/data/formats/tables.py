"""Tables of classes that lie beside masks: our own classes.yaml, and those of CVAT, Kaggle and the original CamVid."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icnet.base.classes import OUTSIDE, Classes, Colour, default_palette
from icnet.base.errors import DataError, UsageError, require
from icnet.data.formats.source import Table

CLASSES_FILE = "classes.yaml"

INSTALL = "'icnet[data]'"

_EXPECTED = "expected such as `classes: [road, {name: vehicle, colour: '#40c080', from: [car, truck]}]`"

_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A class that a classes.yaml asks for."""

    name: str
    colour: Colour | None
    sources: tuple[str | int, ...] | None
    """Names in the source, or numbers in its masks, that become this class; None: the name itself."""


@dataclass(frozen=True)
class Wanted:
    """What a classes.yaml holds."""

    entries: tuple[Entry, ...]
    unlabelled: str | None = None
    """The class that pixels without a label become; None: they are ignored."""
    void: str | None = None
    ignored: tuple[int, ...] = (OUTSIDE,)

    def classes(self, colours: Mapping[str, Colour | None] | None = None) -> Classes:
        """The table; `colours` are for classes that have none of their own, and all are made if one is missing still.

        Raises:
            UsageError: it is none.
        """
        known = colours or {}
        palette = [entry.colour or known.get(entry.name) for entry in self.entries]
        names = tuple(entry.name for entry in self.entries)
        whole = tuple(colour for colour in palette if colour is not None)
        void = None if self.void is None else next((at for at, name in enumerate(names) if name == self.void), None)
        if self.void is not None and void is None:
            raise UsageError(f"the void class {self.void} is not among the classes")
        return Classes(names, whole if len(whole) == len(names) else (), void, self.ignored)


def read_yaml(path: Path, what: str = "the table of classes") -> Any:
    """The content of a YAML file of the user's.

    Raises:
        DataError: it cannot be read or is no YAML.
        UsageError: PyYAML is not installed.
    """
    yaml = require("yaml", f"{path.name} needs PyYAML", INSTALL)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path} has more than {_MOST_BYTES >> 20} MiB: it is no table of classes")
        text = path.read_text("utf-8-sig")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise DataError(f"{what} {path} has aliases: write them out")  # a few lines of these would fill any memory
        return yaml.safe_load(text)
    except (OSError, UnicodeError) as error:
        raise DataError(f"cannot read {what} {path}: {getattr(error, 'strerror', None) or error}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise DataError(f"{what} {path} is no YAML: {' '.join(str(error).split())[:150]}") from error


def read_wanted(path: Path) -> Wanted:
    """Read a classes.yaml: what `icnet data import` writes, with `from` and `unlabelled` in addition.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    document = read_yaml(path)
    if isinstance(document, list):
        document = {"classes": document}
    known = {"classes", "unlabelled", "void", "ignored"}
    if not isinstance(document, dict) or not isinstance(document.get("classes"), list) or not set(document) <= known:
        raise DataError(f"{path} is no table of classes: {_EXPECTED}, and {', '.join(sorted(known - {'classes'}))} if need be")
    try:
        entries = tuple(_entry(each) for each in document["classes"])
        names = [entry.name for entry in entries]
        unlabelled, void = document.get("unlabelled"), document.get("void")
        for role, name in (("unlabelled", unlabelled), ("void", void)):
            if name is not None and name not in names:
                raise ValueError(f"{role} is {name!r}, which is not among the classes")
        wanted = Wanted(entries, unlabelled, void, tuple(document.get("ignored") or (OUTSIDE,)))
        wanted.classes()
    except (ValueError, TypeError, UsageError) as error:
        raise DataError(f"{path}: {error}; {_EXPECTED}") from error
    return wanted


def _entry(value: Any) -> Entry:
    if isinstance(value, str):
        return Entry(value, None, None)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not set(value) <= {"name", "colour", "from"}:
        raise ValueError(f"{value!r:.60} is no class")
    colour, sources = value.get("colour"), value.get("from")
    if sources is not None:
        sources = sources if isinstance(sources, list) else [sources]
        if not all(isinstance(each, str) or type(each) is int for each in sources):
            raise ValueError(f"{value['name']} is from {sources!r:.60}: expected names, or numbers of masks")
    return Entry(value["name"], None if colour is None else _colour(colour), None if sources is None else tuple(sources))


def _colour(value: Any) -> Colour:
    parts = value
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        parts = list(bytes.fromhex(value[1:]))
    if not isinstance(parts, list) or len(parts) != 3 or not all(type(part) is int and 0 <= part <= 255 for part in parts):
        raise ValueError(f"the colour {value!r:.40} is none: expected '#rrggbb' or [red, green, blue]")
    return parts[0], parts[1], parts[2]


def classes_text(classes: Classes) -> str:
    """A classes.yaml, which `read_wanted` reads; its strings are JSON's, which YAML has too."""
    lines = ["# The position of a class is its number in masks/: the first one is 0.", "classes:"]
    for name, (red, green, blue) in zip(classes.names, classes.palette, strict=True):
        lines.append(f'- {{name: {json.dumps(name, ensure_ascii=False)}, colour: "#{red:02x}{green:02x}{blue:02x}"}}')
    void = "null" if classes.void is None else json.dumps(classes.names[classes.void], ensure_ascii=False)
    lines += [f"void: {void}", f"ignored: {list(classes.ignored)}  # numbers of masks that are no class"]
    return "\n".join(lines) + "\n"


def _labelmap(path: Path) -> Table:
    """CVAT's labelmap.txt: `name:red,green,blue:parts:actions`. What it calls background is what nobody labelled.

    A class without colour has that of PASCAL VOC's colour map at its position.
    """
    names: list[str] = []
    colours: list[Colour] = []
    for line in _lines(path):
        if line.startswith("#"):
            continue
        name, colour, *_ = [*line.split(":"), "", ""]
        names.append(name.strip())
        colours.append(_numbers(path, line, colour.split(",")) if colour.strip() else voc_colours(len(names))[-1])
    return Table(tuple(names), tuple(colours), left_out=frozenset(name for name in names if name.casefold() == "background"))


def _class_dict(path: Path) -> Table:
    """A table with the columns name, red, green, blue and perhaps a header, as it comes with CamVid on Kaggle."""
    rows = [row for row in csv.reader(_lines(path)) if len(row) >= 4]
    rows = [row for row in rows if row[1].strip().lower() not in ("r", "red")]
    return Table(tuple(row[0].strip() for row in rows), tuple(_numbers(path, ",".join(row), row[1:4]) for row in rows))


def _label_colors(path: Path) -> Table:
    """The original CamVid's label_colors.txt: `red green blue name`."""
    rows = [line.split(None, 3) for line in _lines(path)]
    return Table(tuple(row[-1].strip() for row in rows), tuple(_numbers(path, " ".join(row), row[:3]) for row in rows))


def _names(path: Path) -> Table:
    """One name a line; those that LabelMe puts between underscores are no classes."""
    names = tuple(_lines(path))
    return Table(names, left_out=frozenset(name for name in names if re.fullmatch(r"_+\w+?_+", name)))


def voc_colours(count: int) -> tuple[Colour, ...]:
    """The colours of PASCAL VOC's colour map, the first one black."""
    return ((0, 0, 0), *default_palette(max(1, count - 1)))[:count]


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{path} has more than {_MOST_BYTES >> 20} MiB: it is no table of classes")
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise DataError(f"cannot read the table of classes {path}: {getattr(error, 'strerror', None) or error}") from error


def _numbers(path: Path, line: str, parts: Sequence[str]) -> Colour:
    try:
        return _colour([int(part) for part in parts])
    except ValueError as error:
        raise DataError(f"{path}: the line {line[:80]!r} has no colour: expected red, green and blue from 0 to 255") from error


_TABLES: dict[str, Callable[[Path], Table]] = {
    "labelmap.txt": _labelmap,
    "class_dict.csv": _class_dict,
    "label_colors.txt": _label_colors,
    "class_names.txt": _names,
    "classes.txt": _names,
}


def find_table(folder: Path) -> Table | None:
    """The table that lies in a folder, under one of the names that are known; None if there is none.

    Raises:
        DataError: there is one that cannot be read.
    """
    if (path := folder / CLASSES_FILE).is_file():
        return as_table(read_wanted(path))
    return next((read(folder / name) for name, read in _TABLES.items() if (folder / name).is_file()), None)


def as_table(wanted: Wanted) -> Table:
    """What a classes.yaml says of the masks that lie beside it."""
    names, colours = (tuple(getattr(entry, field) for entry in wanted.entries) for field in ("name", "colour"))
    return Table(names, colours, void=wanted.void, ignored=frozenset(wanted.ignored))
