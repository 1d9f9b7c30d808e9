"""YOLO segmentation: data.yaml, and for each picture a text file of outlines in parts of its size."""

import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from icnet.base.errors import DataError, InputError
from icnet.data.formats.folders import read_list, split_of_path
from icnet.data.formats.shapes import Canvas, polygon
from icnet.data.formats.source import SPLITS, Item, Labels, Source, Table, distinct
from icnet.data.formats.tables import find_table, read_yaml
from icnet.data.formats.tree import Tree, split_of, without_suffix

_LABELS = re.compile(r"(?P<above>(?:.*/)?)labels/(?P<below>.*)\.txt", re.IGNORECASE)

_MOST_BYTES = 64 << 20


def looks_like_yolo(tree: Tree) -> bool:
    """Whether there are text files below a folder labels."""
    return any(_LABELS.fullmatch(name) for name in tree.files)


def open_yolo(tree: Tree, table: Table | None) -> Source:
    """The pictures below images/ with their outlines below labels/; names from data.yaml or classes.txt.

    Raises:
        DataError: nothing names the classes, or a file cannot be read.
    """
    document = _data_yaml(tree)
    names = _names(document["names"]) if document else {}
    if not names:
        table = find_table(tree.root) or table
        if table is None:
            raise DataError(
                f"{tree.root} has outlines in labels/ and neither data.yaml nor classes.txt: nothing names the classes"
            )
        names = dict(enumerate(table.names))
    positions = {number: position for position, number in enumerate(sorted(names))}
    files = {f"{match['above']}images/{match['below']}": name for name in tree.files if (match := _LABELS.fullmatch(name))}
    images = {without_suffix(name): name for name in tree.pictures() if "images" in PurePosixPath(name).parts}
    splits = _splits(tree, document, images)
    items = []
    for stem in sorted(images.keys() | files.keys()):
        image, file = images.get(stem), files.get(stem)
        found = tree.path(image) if image else tree.find(stem)
        read = None if file is None else partial(_draw, tree.path(file), positions)
        name = stem.replace("/images/", "/").removeprefix("images/")
        items.append(Item(name, found, read, splits.get(stem) or split_of_path(stem)))
    kept, faults = distinct(items)
    return Source("yolo", Table(tuple(names[number] for number in sorted(names))), kept, tuple(faults))


def _data_yaml(tree: Tree) -> dict[str, Any] | None:
    for name in sorted(tree.matching(r"[^/]*\.ya?ml"), key=lambda name: name != "data.yaml"):
        document = read_yaml(tree.path(name))
        if isinstance(document, dict) and document.get("names"):
            return document
    return None


def _names(value: Any) -> dict[int, str]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    try:
        return {int(number): str(name) for number, name in pairs}
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"the names in data.yaml are no list of names ({error})") from error


def _splits(tree: Tree, document: dict[str, Any] | None, images: dict[str, str]) -> dict[str, str]:
    """The split of each picture, by the folders or lists that data.yaml names."""
    splits: dict[str, str] = {}
    for split in SPLITS:
        named = (document or {}).get(split) or ()
        for place in named if isinstance(named, list) else [named] if isinstance(named, str) else ():
            parts = [part for part in PurePosixPath(str(place)).parts if part not in ("..", ".", "/")]
            name = "/".join(parts)
            if name.endswith(".txt") and name in tree.files:
                ends = [without_suffix(line.removeprefix("./").lstrip("/")) for line in read_list(tree.path(name))]
                splits |= dict.fromkeys((end for end in ends if end in images), split)
            elif parts and split_of(name.split("/")[-1]) is None:
                splits |= dict.fromkeys((stem for stem in images if stem.startswith(f"{name}/")), split)
    return splits


def _draw(path: Path, positions: dict[int, int], size_hw: tuple[int, int]) -> Labels:
    """Larger outlines first, so that small ones on them stay visible, as Ultralytics draws them."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} has more than {_MOST_BYTES >> 20} MiB: these are not the outlines of one picture")
        lines = read_list(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    canvas = Canvas(size_hw)
    height, width = size_hw
    for line in lines:
        try:
            number, *values = line.split()
            if int(number) not in positions:
                raise InputError(f"an outline is of the class {number}, which data.yaml does not name")
            if len(values) == 4:
                raise InputError("an object is a box and has no outline")
            ring = (np.array(values, np.float64).reshape(-1, 2) * (width, height)).ravel().tolist()
            canvas.paint_by_size(positions[int(number)], polygon([ring], size_hw))
        except (ValueError, OverflowError, InputError) as error:
            canvas.miss(str(error) if isinstance(error, InputError) else f"the line {line[:40]!r} is no outline")
    return canvas.labels()
