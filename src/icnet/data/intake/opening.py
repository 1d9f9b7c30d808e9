"""A source as the user names it, opened, and each of its pictures read with the labels in the classes that are wanted."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from icnet.base.cores import available_cores
from icnet.base.errors import IcnetError, UsageError
from icnet.data.formats.known import open_source
from icnet.data.formats.source import Fault, Item, Labels, Source
from icnet.data.formats.tables import as_table, read_wanted
from icnet.data.intake.mapping import Mapping, map_classes
from icnet.pictures.reading import Stored, read_stored

Step = Callable[[int, int], None]
"""Is told how many pictures of how many are done."""

T = TypeVar("T")


@dataclass(frozen=True)
class SourceOptions:
    """How a source is looked at."""

    classes: Path | None = None
    """A classes.yaml that says which classes are wanted."""
    images: Path | None = None
    """A folder in which pictures are looked for too."""
    format: str | None = None
    """Its name; None finds it."""


def check_exists(root: Path) -> None:
    """Refuse what is not there.

    Raises:
        UsageError: it is not.
    """
    if not root.exists():
        raise UsageError(f"{root} does not exist: name a folder, a zip or tar archive, or a JSON document of labelled pictures")


def opened(root: Path, options: SourceOptions) -> tuple[Source, Mapping]:
    """List the pictures of an unpacked source, and find what becomes of its classes.

    Raises:
        UsageError: the format, or a class that is wanted, is not there.
        DataError: it is of no known format, or what lists or describes its pictures cannot be read.
    """
    wanted = None if options.classes is None else read_wanted(options.classes)
    speaks_of_masks = wanted is not None and all(entry.sources is None for entry in wanted.entries)
    table = as_table(wanted) if wanted is not None and speaks_of_masks else None
    source = open_source(root, name=options.format, pictures=options.images, table=table)
    return source, map_classes(source.table, wanted)


@dataclass(frozen=True, eq=False)
class Read:
    """A picture and its labels."""

    item: Item
    picture: Stored | None = None
    labels: Labels | None = None
    ids: np.ndarray | None = None
    """(H, W) uint8 indices of the wanted classes, 255 of none; None if there are no labels of the picture's size."""
    faults: tuple[Fault, ...] = ()


def read(item: Item, mapping: Mapping) -> Read:
    """Read what there is of an item; what cannot be read is a fault."""
    if item.image is None:
        return Read(item, faults=(Fault("mask-without-picture", item.name, "has labels and no picture"),))
    try:
        picture = read_stored(item.image)
    except IcnetError as error:
        return Read(item, faults=(Fault("unreadable-picture", item.name, str(error)),))
    if item.labels is None:
        return Read(item, picture, faults=(Fault("picture-without-mask", item.name, "has no labels"),))
    size_hw = (picture.pixels.shape[0], picture.pixels.shape[1])
    try:
        labels = item.labels(size_hw)
    except IcnetError as error:
        return Read(item, picture, faults=(Fault("unreadable-mask", item.name, str(error)),))
    faults = [Fault(kind, item.name, text) for kind, text in labels.faults]
    if labels.ids.shape != size_hw:
        height, width = labels.ids.shape
        kind = "turned" if (width, height) == size_hw else "sizes-differ"
        faults.append(Fault(kind, item.name, f"is {size_hw[1]}x{size_hw[0]}, its labels are {width}x{height}"))
        return Read(item, picture, labels, faults=tuple(faults))
    return Read(item, picture, labels, mapping.positions[labels.ids], tuple(faults))


def of_each(items: Sequence[Item], work: Callable[[Item], T], step: Step) -> list[T]:
    """What `work` gives for each item, in order; several are worked at at a time."""
    results: list[T] = []
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            for result in pool.map(work, items):
                results.append(result)
                step(len(results), len(items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results
