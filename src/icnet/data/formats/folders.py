"""Folders of pictures and masks of equal names, in which our own layout is one case."""

import re
from pathlib import Path, PurePosixPath

from icnet.base.errors import DataError
from icnet.data.formats.masks import mask_reader
from icnet.data.formats.source import SPLITS, Fault, Item, Source, Table, distinct
from icnet.data.formats.tables import find_table
from icnet.data.formats.tree import IMAGES, Tree, split_of, without_suffix

MASKS = ("masks", "mask", "labels", "label", "annotations", "annotation", "gt", "labelids")
"""Names of folders of masks; the first one is ours."""

_BEHIND = ("_masks", "_mask", "_labels", "_label", "annot", "_annot", "_gt")
"""What follows the name of a folder of pictures in that of its masks, such as train and train_labels."""

_MASK_ENDS = re.compile(r"(_L|_mask|_masks|_label|_labels|_labelIds|_gt|_seg)$", re.IGNORECASE)
"""What may follow the name of a picture in that of its mask."""

_LISTS = re.compile(r"(?:.*/)?(train|val|test)\.txt", re.IGNORECASE)


def looks_like_folders(tree: Tree) -> bool:
    """Whether there are a folder of pictures and one of masks."""
    return bool(_pairs_of_folders(tree))


def open_folders(tree: Tree, table: Table | None) -> Source:
    """Pictures and masks of equal names; splits by folder, or by the lists splits/train.txt, val.txt and test.txt.

    Raises:
        DataError: a table or list cannot be read.
    """
    table = find_table(tree.root) or table
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    faults: list[Fault] = []
    for image_folder, mask_folder in _pairs_of_folders(tree):
        faults += _collect(tree, image_folder, images)
        faults += _collect(tree, mask_folder, masks, {_key(tree, image_folder, name) for name in tree.pictures(image_folder)})
    items = [
        Item(
            name,
            images.get(name),
            mask_reader(masks[name], table) if name in masks else None,
            split_of_path(name),
        )
        for name in sorted(images.keys() | masks.keys())
    ]
    items, listed = _by_lists(tree, items)
    return Source("folders", table, items, tuple(faults + listed))


def split_of_path(name: str) -> str | None:
    """The split that the folders of a name tell, the last one first."""
    return next((split for part in reversed(PurePosixPath(name).parts[:-1]) if (split := split_of(part))), None)


def _pairs_of_folders(tree: Tree) -> list[tuple[str, str]]:
    """Folders of pictures, each with that of its masks; of nested ones the outer one."""
    by_lower = {folder.lower(): folder for folder in tree.folders}
    pairs: list[tuple[str, str]] = []
    for folder in sorted(tree.folders, key=lambda folder: (folder.count("/"), folder)):
        if any(folder.startswith(f"{one}/") for pair in pairs for one in pair):
            continue
        path = PurePosixPath(folder.lower())
        others = [f"{path}{end}" for end in _BEHIND]
        if path.name in IMAGES:
            others = [(path.parent / name).as_posix() for name in MASKS]
        found = next((by_lower[other] for other in others if other in by_lower), None)
        if found is not None and any(tree.pictures(found)):
            pairs.append((folder, found))
    return pairs


def _key(tree: Tree, folder: str, name: str) -> str:
    """A picture's name in the source: below its folder, and with the folders above that."""
    above = PurePosixPath(folder)
    prefix = above.parent if above.name.lower() in IMAGES + MASKS else above
    below = PurePosixPath(name).relative_to(folder)
    return without_suffix((prefix / below).as_posix())


def _collect(tree: Tree, folder: str, into: dict[str, Path], images: set[str] | None = None) -> list[Fault]:
    """Add the pictures of a folder by their names; masks by those of the pictures that they belong to."""
    faults = []
    for name in tree.pictures(folder):
        key = _key(tree, folder, name)
        if images is not None:
            key = _of_picture(key, images)
        before = into.setdefault(key, tree.path(name))
        if before != tree.path(name):
            faults.append(Fault("same-name", key, f"is the name of {before.name} and of {PurePosixPath(name).name}"))
    return faults


def _of_picture(key: str, images: set[str]) -> str:
    """The name of the picture that a mask's name belongs to; its own if there is none."""
    head, _, last = key.rpartition("/")
    for end in _BEHIND:
        plain = re.sub(rf"{end}(?=/|$)", "", f"{head}/" if head else "").rstrip("/")
        for stem in (last, _MASK_ENDS.sub("", last)):
            candidate = f"{plain}/{stem}" if plain else stem
            if candidate in images:
                return candidate
    return key


def _by_lists(tree: Tree, items: list[Item]) -> tuple[list[Item], list[Fault]]:
    """The items in the splits that lists name, if there are lists; an item in none of them has no split then."""
    lists = [name for name in tree.files if _LISTS.fullmatch(name) and PurePosixPath(name).parent.name in ("", "splits")]
    if not lists:
        return items, []
    by_name = {item.name: item for item in items}
    chosen: list[Item] = []
    faults: list[Fault] = []
    for name in sorted(lists, key=lambda name: SPLITS.index(PurePosixPath(name).stem.lower())):
        split = PurePosixPath(name).stem.lower()
        for line in read_list(tree.path(name)):
            item = by_name.get(line) or by_name.get(_stem_of_line(line))
            if item is None:
                faults.append(Fault("listed-not-there", line, f"is in {name} and does not exist"))
            else:
                chosen.append(Item(item.name, item.image, item.labels, split))
    kept, twice = distinct(chosen)
    listed = {item.name for item in kept}
    kept += [Item(item.name, item.image, item.labels, None) for item in items if item.name not in listed]
    return kept, faults + twice


def _stem_of_line(line: str) -> str:
    """A list may name files, below images/ or by their folders."""
    path = PurePosixPath(line.split()[0] if " " in line else line)
    parts = [part for part in path.parts if part.lower() not in IMAGES and part != "/"]
    return without_suffix("/".join(parts)) if parts else line


def read_list(path: Path) -> list[str]:
    """The lines of a list that are not empty.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise DataError(f"cannot read the list {path}: {getattr(error, 'strerror', None) or error}") from error
