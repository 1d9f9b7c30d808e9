"""PASCAL VOC and its kin, CVAT's "segmentation mask 1.1" among them: SegmentationClass, ImageSets and perhaps a labelmap.txt."""

import re
from pathlib import PurePosixPath

from icnet.base.errors import DataError
from icnet.data.formats.folders import read_list
from icnet.data.formats.masks import mask_reader
from icnet.data.formats.source import Fault, Item, Source, Table, distinct
from icnet.data.formats.tables import find_table, voc_colours
from icnet.data.formats.tree import Tree, split_of, without_suffix

_MASKS = re.compile(r"(?:.*/)?SegmentationClass(?:PNG|Aug)?", re.IGNORECASE)

_LIST = re.compile(r"(?:.*/)?ImageSets/Segmentation/(?P<name>[^/]+)\.txt", re.IGNORECASE)

_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_TABLE = Table(_NAMES, voc_colours(len(_NAMES)))
"""Of PASCAL VOC itself, where the background is a class."""


def looks_like_voc(tree: Tree) -> bool:
    """Whether there is a folder SegmentationClass."""
    return _folder(tree) is not None


def _folder(tree: Tree) -> str | None:
    return next((folder for folder in sorted(tree.folders) if _MASKS.fullmatch(folder) and any(tree.pictures(folder))), None)


def open_voc(tree: Tree, table: Table | None) -> Source:
    """The masks of SegmentationClass in the splits of ImageSets; pictures from JPEGImages or wherever they lie.

    Raises:
        DataError: the table or a list cannot be read.
    """
    folder = _folder(tree)
    if folder is None:
        raise DataError(f"{tree.root} has no folder SegmentationClass with masks")
    top = PurePosixPath(folder).parent
    table = find_table(tree.root / top) or table or _TABLE
    masks = {without_suffix(str(PurePosixPath(name).relative_to(folder))): name for name in tree.pictures(folder)}
    splits, faults = _splits(tree, set(masks))
    items = []
    for stem in sorted(masks.keys() | splits.keys()):
        image = tree.find_stem((top / "JPEGImages").as_posix(), stem) or tree.find(stem, but_not=folder)
        if stem in masks:
            items.append(Item(stem, image, mask_reader(tree.path(masks[stem]), table), splits.get(stem)))
        elif image is not None:
            items.append(Item(stem, image, None, splits[stem]))
        else:
            faults.append(Fault("listed-not-there", stem, "is listed in ImageSets/Segmentation and does not exist"))
    kept, twice = distinct(items)
    return Source("voc", table, kept, tuple(faults + twice))


def _splits(tree: Tree, stems: set[str]) -> tuple[dict[str, str | None], list[Fault]]:
    """The split of each name that a list has."""
    splits: dict[str, str | None] = {}
    faults: list[Fault] = []
    for name in tree.files:
        if (match := _LIST.fullmatch(name)) is None:
            continue
        split = None if match["name"].lower() == "trainval" else split_of(match["name"])
        for line in read_list(tree.path(name)):
            stem = line if line in stems else without_suffix(line) if without_suffix(line) in stems else line.split()[0]
            before = splits.get(stem)
            if before is not None and split not in (None, before):
                faults.append(Fault("in-two-splits", stem, f"is in {before} and in {split}"))
            splits[stem] = before or split
    return splits, faults
