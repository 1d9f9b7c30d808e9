"""Labelled pictures of any known format as a folder of our own layout."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from icnet.base.classes import Classes
from icnet.base.errors import DataError, UsageError
from icnet.base.files import new_folder
from icnet.data.formats.source import SPLITS, Fault, Item, Source
from icnet.data.formats.tables import CLASSES_FILE, classes_text
from icnet.data.intake.archive import is_archive, unpack
from icnet.data.intake.mapping import Mapping
from icnet.data.intake.opening import SourceOptions, Step, check_exists, of_each, opened, read
from icnet.data.intake.sequences import draw_validation
from icnet.data.labelled import ABOUT, IMAGES, MASKS, SPLITS_FOLDER

_UNPACKED = ".unpacked"

Way = Literal["link", "copy", "move"]
"""What becomes of a picture; those of an archive, which vanishes, are moved."""

_VALIDATION = 0.2
"""Share of the pictures for validation, where the source tells of no splits."""


@dataclass(frozen=True)
class ImportOptions:
    """How a source is taken over."""

    source: SourceOptions = field(default_factory=SourceOptions)
    val: float | None = None
    """Share of the pictures that become the validation split, from 0 to 1; None keeps the splits of the source."""
    seed: int = 0
    """Of the sequences that are drawn for validation."""
    copy: bool = False
    """Copy the pictures instead of linking them."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            UsageError: the share is none.
        """
        if self.val is not None and not 0 < self.val < 1:
            raise UsageError(f"--val {self.val:.0%} is no share of the pictures: write such as 20%")


@dataclass
class Imported:
    """What became of a source."""

    format: str
    classes: Classes
    left_out: tuple[str, ...] = ()
    """Classes of the source that are ignored."""
    splits: dict[str, list[str]] = field(default_factory=dict)
    """Names of the pictures, by split."""
    faults: list[Fault] = field(default_factory=list)
    drawn: dict[str, Any] | None = None
    """How the validation split was made, if it was."""

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return {
            "format": self.format,
            "classes": self.classes.to_dict(),
            "left_out": list(self.left_out),
            "pictures": {split: len(names) for split, names in self.splits.items()},
            "drawn": self.drawn,
            "faults": [fault.to_dict() for fault in self.faults],
        }


def import_data(
    source: Path, output: Path, options: ImportOptions | None = None, *, step: Step = lambda done, of: None
) -> Imported:
    """Write a folder in the layout of `icnet.data.labelled`; it appears when it is complete.

    Args:
        source: a folder, an archive or a document of a known format.
        output: a folder that is empty or missing.
        options: the defaults if not given.
        step: is told how many pictures of how many are done.

    Returns:
        What was taken over, and what was not: pictures that cannot be read are left out and named.

    Raises:
        UsageError: the output is in use, or the classes that are wanted are not there.
        DataError: the source is of no known format, or none of its pictures can be used.
        OutputError: the folder cannot be written.
    """
    options = options or ImportOptions()
    check_exists(source)
    with new_folder(output) as part:
        packed = source.is_file() and is_archive(source)
        if packed:
            unpack(source, part / _UNPACKED)
        found, mapping = opened(part / _UNPACKED if packed else source, options.source)
        items, drawn = _in_splits(found, options)
        how: Way = "move" if packed else "copy" if options.copy else "link"
        outcomes = of_each(items, lambda item: _take(item, mapping, part, how), step)
        taken = [item for item, (good, _) in zip(items, outcomes, strict=True) if good]
        faults = [fault for _, found_here in outcomes for fault in found_here]
        result = Imported(found.format, mapping.classes, mapping.left_out, faults=[*found.faults, *faults], drawn=drawn)
        result.splits = {split: [item.name for item in taken if item.split == split] for split in SPLITS}
        if not taken:
            raise DataError(f"none of the {len(items)} pictures of {source} can be used: {_first(result.faults)}")
        _write_lists(part, source, result)
        shutil.rmtree(part / _UNPACKED, ignore_errors=True)
    return result


def _first(faults: Sequence[Fault]) -> str:
    return f"{faults[0].name} {faults[0].text}" if faults else "they have no labels"


def _in_splits(source: Source, options: ImportOptions) -> tuple[list[Item], dict[str, Any] | None]:
    """The items, each in a split; a validation split is made if it is asked for or the source has none."""
    items = list(source.items)
    told = Counter(item.split for item in items)
    if options.val is None and told["val"]:
        return [item if item.split else _with(item, "train") for item in items], None
    pool = [item.name for item in items if item.split != "test" and item.image is not None and item.labels is not None]
    if len(pool) < 2:
        return [item if item.split else _with(item, "train") for item in items], None
    share = options.val or _VALIDATION
    drawn = draw_validation(pool, share, options.seed)
    about = {"share": share, "seed": options.seed, "sequences": list(drawn.sequences), "cut": drawn.cut}
    chosen = [item if item.split == "test" else _with(item, "val" if item.name in drawn.names else "train") for item in items]
    return chosen, about


def _with(item: Item, split: str) -> Item:
    return Item(item.name, item.image, item.labels, split)


def _take(item: Item, mapping: Mapping, part: Path, how: Way) -> tuple[bool, tuple[Fault, ...]]:
    """Link a picture and write its mask; whether both are there, and what is wrong."""
    name = item.name
    if not name.isprintable() or name != name.strip():
        return False, (Fault("odd-name", name, "holds characters that no list of names can have"),)
    one = read(item, mapping)
    if one.ids is None or item.image is None:
        return False, one.faults
    _write_mask(part / MASKS / f"{name}.png", one.ids)
    _place(item.image, part / IMAGES / f"{name}{item.image.suffix.lower()}", how)
    return True, one.faults


def _write_mask(path: Path, ids: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = cv2.imencode(".png", ids, [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE])
    path.write_bytes(encoded[1].tobytes())


def _place(image: Path, target: Path, how: Way) -> None:
    """Put a picture where it belongs: a second name of the same file where the disk allows, else a link to it, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    real = os.path.realpath(image)
    if how != "copy":
        try:
            os.link(real, target)
            return
        except OSError:  # another disk, or one without such names
            if how == "link":
                try:
                    os.symlink(real, target)
                    return
                except OSError:
                    pass
    shutil.copyfile(real, target)


def _write_lists(part: Path, source: Path, result: Imported) -> None:
    (part / CLASSES_FILE).write_text(classes_text(result.classes), encoding="utf-8")
    (part / SPLITS_FOLDER).mkdir()
    for split, names in result.splits.items():
        if names:
            (part / SPLITS_FOLDER / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    about = {"source": str(source), **result.to_dict()}
    (part / ABOUT).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
