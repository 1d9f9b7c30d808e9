"""All formats, in the order in which a source is looked at, and how one is opened."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from icnet.base.errors import DataError, UsageError
from icnet.data.formats.cityscapes import looks_like_cityscapes, open_cityscapes
from icnet.data.formats.coco import looks_like_coco, open_coco
from icnet.data.formats.folders import looks_like_folders, open_folders
from icnet.data.formats.label_studio import looks_like_label_studio, open_label_studio
from icnet.data.formats.lists import looks_like_lists, open_lists
from icnet.data.formats.source import Source, Table
from icnet.data.formats.tree import Tree
from icnet.data.formats.voc import looks_like_voc, open_voc
from icnet.data.formats.yolo import looks_like_yolo, open_yolo


@dataclass(frozen=True)
class Format:
    """How labelled pictures may come."""

    looks: Callable[[Tree], bool]
    """Whether the files are of this format, by their names and beginnings."""
    open: Callable[[Tree, Table | None], Source]
    """Reads lists and documents; the table is for masks beside which none lies."""
    sign: str
    """What it is known by, for people."""


FORMATS: dict[str, Format] = {
    "cityscapes": Format(looks_like_cityscapes, open_cityscapes, "gtFine/ with _labelIds.png or _polygons.json"),
    "voc": Format(looks_like_voc, open_voc, "SegmentationClass/, as PASCAL VOC and CVAT's segmentation mask 1.1 have it"),
    "yolo": Format(looks_like_yolo, open_yolo, "data.yaml and labels/*.txt"),
    "coco": Format(looks_like_coco, open_coco, "a JSON file with images, annotations and categories"),
    "label-studio": Format(looks_like_label_studio, open_label_studio, "Label Studio's JSON export"),
    "lists": Format(looks_like_lists, open_lists, "train.txt with pairs of picture and mask, as CamVid has it"),
    "folders": Format(looks_like_folders, open_folders, "images/ and masks/ with files of equal names"),
}


def open_source(root: Path, *, name: str | None = None, pictures: Path | None = None, table: Table | None = None) -> Source:
    """Look at a folder, or a document, and list its labelled pictures.

    Args:
        root: of an unpacked source.
        name: of the format; None finds it.
        pictures: a folder in which pictures are looked for too, because many exports come without them.
        table: classes of masks beside which no table lies.

    Raises:
        UsageError: there is no such format.
        DataError: it is of none, or what lists or describes its pictures cannot be read.
    """
    if name is not None and name not in FORMATS:
        raise UsageError(f"there is no format {name}: choose one of {', '.join(FORMATS)}")
    if pictures is not None and not pictures.is_dir():
        raise UsageError(f"{pictures} is no folder: --images names the one in which the pictures lie")
    tree = Tree(root, pictures)
    found = name or next((each for each, form in FORMATS.items() if form.looks(tree)), None)
    if found is None:
        signs = "; ".join(form.sign for form in FORMATS.values())
        raise DataError(f"{root} looks like no format that is known; expected one of: {signs}")
    source = FORMATS[found].open(tree, table)
    if not source.items:
        hint = "; pictures that lie elsewhere are found with --images" if source.faults and pictures is None else ""
        reason = f": {source.faults[0].name} {source.faults[0].text}" if source.faults else ""
        raise DataError(f"{root} is of the format {found} and has no labelled picture{reason}{hint}")
    return source
