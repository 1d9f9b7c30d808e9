"""COCO: a JSON document of images, categories and annotations, whose objects are outlines or run lengths."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from icnet.base.errors import DataError, InputError
from icnet.data.formats.documents import first_key, read_json
from icnet.data.formats.shapes import Canvas, polygon, run_lengths
from icnet.data.formats.source import Fault, Item, Labels, Source, Table, distinct
from icnet.data.formats.tree import Tree, split_of

_KEYS = frozenset({"images", "annotations", "categories", "info", "licenses", "type", "contributor"})


def documents(tree: Tree) -> list[str]:
    """The JSON files that begin as COCO's do."""
    return [name for name in tree.matching(r".*\.json") if _begins_well(tree, name)]


def _begins_well(tree: Tree, name: str) -> bool:
    bracket, key = first_key(tree.path(name))
    return bracket == "{" and key in _KEYS


def looks_like_coco(tree: Tree) -> bool:
    """Whether there is such a document."""
    return bool(documents(tree))


@dataclass(frozen=True, eq=False)
class _Picture:
    """What the documents tell about one picture."""

    file_name: str
    size_hw: tuple[int, int] | None
    split: str | None
    annotations: list[tuple[int | None, dict[str, Any]]]
    """Position of the class in the table, None if there is no such category; and the annotation."""


def open_coco(tree: Tree, table: Table | None) -> Source:
    """All documents together: categories of one name are one class.

    Raises:
        DataError: a document is none of COCO, or no object has an outline.
    """
    positions: dict[str, int] = {}
    pictures: dict[tuple[str, str | None], _Picture] = {}
    objects = 0
    for name in documents(tree):
        split = split_of(PurePosixPath(name).stem) or split_of(PurePosixPath(name).parent.name)
        try:
            objects += _take_in(read_json(tree.path(name)), split, positions, pictures)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"{tree.path(name)} is no COCO document: {type(error).__name__} {error}; export it again") from error
    if not objects:
        raise DataError(f"no object in {', '.join(documents(tree)[:3])} has an outline: export it with segmentation")
    items, faults = [], []
    for picture in pictures.values():
        image = tree.find(picture.file_name, *filter(None, [picture.split]))
        if image is None:
            faults.append(Fault("picture-not-there", picture.file_name, "is named by the annotations and does not exist"))
        else:
            items.append(Item(tree.name_of(image), image, partial(_draw, picture), picture.split))
    kept, twice = distinct(items)
    return Source("coco", Table(tuple(positions)), kept, tuple(faults + twice))


def _take_in(
    document: dict[str, Any],
    split: str | None,
    positions: dict[str, int],
    pictures: dict[tuple[str, str | None], _Picture],
) -> int:
    """Add what a document holds; gives the number of its objects that have an outline."""
    classes: dict[Any, int] = {}
    for category in sorted(document["categories"], key=lambda category: category["id"]):
        classes[category["id"]] = positions.setdefault(str(category["name"]).strip(), len(positions))
    by_id: dict[Any, _Picture] = {}
    for image in document["images"]:
        file_name, size = str(image["file_name"]), (image.get("height"), image.get("width"))
        size_hw = (int(size[0]), int(size[1])) if None not in size else None
        by_id[image["id"]] = pictures.setdefault((file_name, split), _Picture(file_name, size_hw, split, []))
    objects = 0
    for annotation in document.get("annotations", ()):
        if annotation.get("segmentation") and annotation["image_id"] in by_id:
            by_id[annotation["image_id"]].annotations.append((classes.get(annotation["category_id"]), annotation))
            objects += 1
    return objects


def _draw(picture: _Picture, size_hw: tuple[int, int]) -> Labels:
    """Larger objects first, so that small ones on them stay visible: COCO itself has no order."""
    canvas = Canvas(picture.size_hw or size_hw)
    for position, annotation in picture.annotations:
        try:
            if position is None:
                raise InputError(f"an object is of the category {annotation['category_id']}, which is not listed")
            canvas.paint_by_size(position, _mask(annotation["segmentation"], canvas.size_hw))
        except InputError as error:
            canvas.miss(str(error))
    return canvas.labels()


def _mask(segmentation: Any, size_hw: tuple[int, int]) -> np.ndarray:
    if isinstance(segmentation, dict):
        size: Iterable[Any] = segmentation.get("size", ())
        if not isinstance(size, Sequence) or tuple(size) != size_hw:
            raise InputError(f"run lengths are of the size {size}, and the picture of {size_hw} (height, width)")
        return run_lengths(segmentation.get("counts"), size_hw)
    if not isinstance(segmentation, Sequence):
        raise InputError("an object is neither outline nor run lengths")
    return polygon(segmentation, size_hw)
