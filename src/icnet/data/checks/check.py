"""One look at every picture and its labels, and the report of it."""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from icnet.base.classes import OUTSIDE, Classes
from icnet.base.errors import DataError
from icnet.data.checks.faults import KINDS
from icnet.data.checks.likeness import Look, alike, look
from icnet.data.formats.source import SPLITS, Fault, Item, Source
from icnet.data.intake.archive import is_archive, unpack
from icnet.data.intake.mapping import Mapping
from icnet.data.intake.opening import SourceOptions, Step, check_exists, of_each, opened, read
from icnet.data.labelled import ABOUT

_USUAL = 0.9
"""Share of the pictures that have one size, if any other size is odd; of this many pictures or more."""
_FEW = 10

_SMALLEST = 32
"""Pixels of a side below which a picture shows no street."""

_TURNS_UNSEEN = frozenset({2, 3, 4})
"""EXIF orientations that keep height and width."""

_OF_LABELS = frozenset({"jpeg-mask", "interpolated", "blended-colours", "unknown-ids", "unknown-colours", "broken-shape"})
"""Faults of labels that were taken over nevertheless: an import cannot mend them, so they are told again."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What one picture and its labels are like."""

    item: Item
    size_hw: tuple[int, int] | None = None
    counts: np.ndarray | None = None
    """(256,) int64 pixels of each class, 255 of none; None if there are no labels of this size."""
    look: Look | None = None
    digest: str = ""
    """Of the pixels."""
    faults: tuple[Fault, ...] = ()


@dataclass
class Checked:
    """What is known of a source after a check."""

    source: str
    format: str
    classes: Classes
    pictures: dict[str, int]
    """By split; the name of pictures in none is empty."""
    shares: dict[str, dict[str, float]]
    """Of the labelled pixels, by split and class."""
    labelled: dict[str, float]
    """Share of all pixels that have a label, by split."""
    sizes: list[tuple[tuple[int, int], int]]
    """Height and width with the number of pictures, the most frequent first."""
    faults: list[Fault]
    items: dict[str, Item] = field(default_factory=dict, repr=False)
    mapping: Mapping | None = field(default=None, repr=False)

    @property
    def verdict(self) -> str:
        """How many faults there are, in words."""
        count = len(self.faults)
        return "no faults" if not count else "1 fault" if count == 1 else f"{count} faults"

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return {
            "source": self.source,
            "format": self.format,
            "classes": self.classes.to_dict(),
            "pictures": self.pictures,
            "labelled": self.labelled,
            "shares": self.shares,
            "sizes": [{"height": height, "width": width, "pictures": count} for (height, width), count in self.sizes],
            "faults": [fault.to_dict() for fault in self.faults],
        }


def check_data(
    root: Path,
    options: SourceOptions | None = None,
    *,
    step: Step = lambda done, of: None,
    draw: Callable[[Checked], None] = lambda checked: None,
) -> Checked:
    """Read every picture and its labels once, and tell what is wrong.

    Args:
        root: a folder that was imported, or one, an archive or a document of any known format.
        options: the defaults if not given.
        step: is told how many pictures of how many are done.
        draw: is given the result while the pictures are still there, which those of an archive are not later.

    Raises:
        UsageError: it does not exist, or the classes that are wanted are not there.
        DataError: it is of no known format, or none of its pictures and labels can be read.
    """
    check_exists(root)
    with _unpacked(root) as folder:
        source, mapping = opened(folder, options or SourceOptions())
        seen = of_each(source.items, lambda item: _see(item, mapping), step)
        faults = [*source.faults, *(fault for each in seen for fault in each.faults), *_of_the_import(folder)]
        if all(each.counts is None for each in seen):
            raise DataError(f"none of the {len(seen)} pictures of {root} can be used: {faults[0].name} {faults[0].text}")
        faults += [*_of_splits(seen), *_of_classes(seen, mapping.classes), *_of_sizes(seen), *_of_likeness(seen)]
        checked = _summary(root, source, mapping, seen)
        order = list(KINDS)
        checked.faults = sorted(faults, key=lambda fault: order.index(fault.kind))
        draw(checked)
    return checked


@contextmanager
def _unpacked(root: Path) -> Iterator[Path]:
    if root.is_dir() or not is_archive(root):
        yield root
        return
    with tempfile.TemporaryDirectory(prefix="icnet-") as folder:
        unpack(root, Path(folder))
        yield Path(folder)


def _see(item: Item, mapping: Mapping) -> Seen:
    """Read a picture and its labels, and keep what has to be known of them."""
    one = read(item, mapping)
    if one.picture is None:
        return Seen(item, faults=one.faults)
    pixels, faults = one.picture.pixels, list(one.faults)
    seen, counts = look(pixels), None
    if seen.is_blank:
        faults.append(Fault("blank-picture", item.name, "shows nothing but one colour"))
    if one.ids is not None and one.labels is not None:
        turned = one.picture.orientation
        if turned in _TURNS_UNSEEN and one.labels.orientation != turned:
            faults.append(Fault("orientation", item.name, f"has EXIF orientation {turned}, and its labels have none"))
        counts = np.bincount(one.ids.ravel(), minlength=256)
        if counts[OUTSIDE] == counts.sum():
            faults.append(Fault("empty-mask", item.name, "has no labelled pixel"))
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    return Seen(item, (pixels.shape[0], pixels.shape[1]), counts, seen, digest, tuple(faults))


def _of_the_import(root: Path) -> Iterator[Fault]:
    """What an import found in labels that it took over."""
    try:
        document = json.loads((root / ABOUT).read_bytes())
        found = [(str(each["kind"]), str(each["name"]), str(each["text"])) for each in document["faults"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    yield from (Fault(kind, name, f"{text} (seen when it was imported)") for kind, name, text in found if kind in _OF_LABELS)


def _of_splits(seen: Sequence[Seen]) -> Iterator[Fault]:
    told = Counter(each.item.split for each in seen)
    if set(told) == {None}:
        return
    yield from (Fault("in-no-split", each.item.name, "is in no split") for each in seen if each.item.split is None)
    yield from (Fault("no-split", split, "has no pictures") for split in ("train", "val") if not told[split])


def _totals(seen: Sequence[Seen]) -> dict[str, np.ndarray]:
    """(256,) pixels of each class, by split."""
    totals: dict[str, np.ndarray] = {}
    for each in seen:
        if each.counts is not None:
            split = each.item.split or ""
            totals[split] = totals.get(split, 0) + each.counts
    return {split: totals[split] for split in (*SPLITS, "") if split in totals}


def _of_classes(seen: Sequence[Seen], classes: Classes) -> Iterator[Fault]:
    totals = _totals(seen)
    for index in classes.scored:
        has = {split: int(counts[index]) for split, counts in totals.items()}
        if not any(has.values()):
            yield Fault("class-nowhere", classes.names[index], "has no pixel")
        else:
            lacking = [split for split, count in has.items() if not count and split]
            yield from (Fault("class-missing", classes.names[index], f"has no pixel in {split}") for split in lacking)


def _of_sizes(seen: Sequence[Seen]) -> Iterator[Fault]:
    sizes = Counter(each.size_hw for each in seen if each.size_hw is not None)
    usual, count = sizes.most_common(1)[0]
    is_usual = sizes.total() >= _FEW and count >= _USUAL * sizes.total()
    for each in seen:
        if each.size_hw is None:
            continue
        is_other = each.size_hw not in (usual, usual[::-1])  # a telephone is held upright or across
        if min(each.size_hw) < _SMALLEST or (is_usual and is_other):
            others = f"; {count} of {sizes.total()} are {usual[1]}x{usual[0]}" if each.size_hw != usual else ""
            yield Fault("odd-size", each.item.name, f"is {each.size_hw[1]}x{each.size_hw[0]}{others}")


def _of_likeness(seen: Sequence[Seen]) -> Iterator[Fault]:
    by_split: dict[str, list[Seen]] = {}
    same: dict[tuple[str, str], list[str]] = {}
    for each in seen:
        if each.look is not None and not each.look.is_blank:
            by_split.setdefault(each.item.split or "", []).append(each)
            same.setdefault((each.item.split or "", each.digest), []).append(each.item.name)
    for (split, _), (first, *others) in same.items():
        if others:
            where = f" in {split}" if split else ""
            yield Fault("duplicates", first, f"is there {len(others) + 1} times{where}: {', '.join(others[:5])}", tuple(others))
    for one, other in combinations([split for split in SPLITS if split in by_split], 2):
        looks = ([each.look for each in by_split[split] if each.look is not None] for split in (one, other))
        for index, place in alike(*looks):
            a, b = by_split[one][index].item.name, by_split[other][place].item.name
            yield Fault("near-duplicates", b, f"in {other} looks like {a} in {one}", (a,))


def _summary(root: Path, source: Source, mapping: Mapping, seen: Sequence[Seen]) -> Checked:
    classes, totals = mapping.classes, _totals(seen)
    shares, labelled = {}, {}
    for split, counts in totals.items():
        known = counts[: len(classes)]
        labelled[split] = float(known.sum() / max(1, counts.sum()))
        shares[split] = dict(zip(classes.names, (known / max(1, known.sum())).tolist(), strict=True))
    told = Counter(each.item.split or "" for each in seen if each.size_hw is not None)
    return Checked(
        source=str(root),
        format=source.format,
        classes=classes,
        pictures={split: told[split] for split in (*SPLITS, "") if told[split]},
        shares=shares,
        labelled=labelled,
        sizes=Counter(each.size_hw for each in seen if each.size_hw is not None).most_common(),
        faults=[],
        items={each.item.name: each.item for each in seen},
        mapping=mapping,
    )
