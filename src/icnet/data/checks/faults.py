"""Kinds of fault that labelled pictures have, and what to do about each: the one list of them."""

from collections.abc import Iterable
from dataclasses import dataclass

from icnet.data.formats.source import Fault


@dataclass(frozen=True)
class Kind:
    """What faults have in common."""

    title: str
    advice: str


KINDS: dict[str, Kind] = {
    "unreadable-picture": Kind("Pictures that cannot be read", "replace them, or remove them with their masks"),
    "unreadable-mask": Kind("Labels that cannot be read", "export them again"),
    "picture-without-mask": Kind("Pictures without labels", "label them, or remove them"),
    "mask-without-picture": Kind("Labels without a picture", "add the picture under the same name, or remove the labels"),
    "picture-not-there": Kind("Pictures that are named and not there", "name the folder that has them with --images"),
    "same-name": Kind("Two files of one name", "rename one of them, with its labels; only the first is used"),
    "odd-name": Kind("Names that no list can have", "rename the files"),
    "sizes-differ": Kind("Labels of another size than their picture", "export them at the picture's size"),
    "turned": Kind(
        "Labels that lie on their side",
        "the camera noted in EXIF how to turn the picture, and the labels are of the picture as it was stored, or the other way "
        "round: save the pictures upright, and label these again",
    ),
    "orientation": Kind(
        "Pictures that EXIF turns round, where no size shows whether the labels are turned too",
        "look at them with --page; if they fit, save the pictures upright",
    ),
    "jpeg-mask": Kind(
        "Masks saved as JPEG, which changes numbers and colours", "export them as PNG: what is lost cannot be mended"
    ),
    "interpolated": Kind(
        "Masks that were resized with interpolation",
        "resize labels with the nearest neighbour only: make them anew from the originals",
    ),
    "blended-colours": Kind(
        "Masks whose borders are blended", "draw without smoothing and resize with the nearest neighbour only: make them anew"
    ),
    "unknown-ids": Kind("Masks with numbers that are no class", "add the classes, or ignore them with --classes"),
    "unknown-colours": Kind("Masks with colours that are no class", "add the classes with their colours, or correct the table"),
    "broken-shape": Kind("Objects that cannot be drawn", "correct them in the labelling tool"),
    "empty-mask": Kind("Masks without any label", "label the pictures, or remove them: nothing is learnt from them"),
    "blank-picture": Kind("Pictures of a single colour", "remove them"),
    "odd-size": Kind("Pictures of another size than nearly all others", "see whether they belong here"),
    "listed-not-there": Kind("Entries of lists that do not exist", "correct the list, or add the files"),
    "listed-twice": Kind("Pictures that are listed twice", "remove one line"),
    "in-two-splits": Kind("Pictures in two splits", "remove them from one: what is validated must not be learnt"),
    "in-no-split": Kind("Pictures in no split", "add them to a list, or remove them"),
    "no-split": Kind("Splits that are needed and empty", "make one: icnet data import --val 20%"),
    "class-missing": Kind("Classes that a split lacks", "move pictures that have it there; what val lacks cannot be scored"),
    "class-nowhere": Kind("Classes that occur nowhere", "leave them out with --classes"),
    "near-duplicates": Kind(
        "Pictures that look like one of another split",
        "keep neighbouring frames in one split, for the accuracy is too high otherwise: icnet data import --val 20%",
    ),
    "duplicates": Kind("Pictures that are there twice in a split", "remove all but one"),
}
"""By the word that documents use, in the order in which they are told."""


def by_kind(faults: Iterable[Fault]) -> list[tuple[Kind, list[Fault]]]:
    """The kinds that occur, with their faults."""
    found: dict[str, list[Fault]] = {kind: [] for kind in KINDS}
    for fault in faults:
        found[fault.kind].append(fault)
    return [(KINDS[kind], those) for kind, those in found.items() if those]
