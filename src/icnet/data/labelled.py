"""A folder of labelled pictures in the layout that `icnet data import` writes.

classes.yaml          names, colours, void and ignored numbers; the position of a class is its number in masks
images/NAME.jpg       pictures of any size and kind, in folders or not
masks/NAME.png        8-bit class indices; 255, and what else is ignored, is no class
splits/train.txt      a NAME a line; val.txt, test.txt
import.json           where it came from, and what was wrong there
"""

from pathlib import Path

from icnet.base.classes import OUTSIDE, Classes
from icnet.base.errors import DataError, IcnetError
from icnet.base.sample import Sample
from icnet.data.formats.folders import open_folders
from icnet.data.formats.source import Item
from icnet.data.formats.tables import CLASSES_FILE, read_wanted
from icnet.data.formats.tree import Tree
from icnet.pictures.reading import read_image

IMAGES, MASKS, SPLITS_FOLDER, ABOUT = "images", "masks", "splits", "import.json"

_KEPT_BYTES = 1 << 30
"""Samples are kept in memory up to this; those beyond are read again each time."""

_HARMLESS = frozenset({"interpolated"})
"""Faults of a mask that may be mistaken, and do not keep it from being read."""


def is_labelled(root: Path) -> bool:
    """Whether a folder is of this layout."""
    return (root / CLASSES_FILE).is_file() and (root / SPLITS_FOLDER).is_dir()


class Labelled:
    """One split of such a folder; pictures are read when they are asked for."""

    def __init__(self, root: Path | str, split: str) -> None:
        """Read the list of the split and check that every file is there.

        Raises:
            DataError: the table, the list or a file is missing or cannot be read.
        """
        self.root, self.split = Path(root), split
        self.classes: Classes = read_wanted(self.root / CLASSES_FILE).classes()
        source = open_folders(Tree(self.root), None)
        missing = [fault for fault in source.faults if fault.kind == "listed-not-there"]
        if missing:
            raise DataError(f"{missing[0].name} {missing[0].text} in {self.root}: see `icnet data check {self.root}`")
        self._items: list[Item] = [item for item in source.items if item.split == split]
        if not self._items:
            raise DataError(f"{self.root / SPLITS_FOLDER / split}.txt is missing or empty: no picture is in the split {split}")
        for item in self._items:
            if item.image is None or item.labels is None:
                what = "picture" if item.image is None else "mask"
                raise DataError(f"{item.name} has no {what} in {self.root}: see `icnet data check {self.root}`")
        self._kept: dict[int, Sample] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`; the arrays may be shared and are read-only.

        Raises:
            DataError: a file is no picture, the mask has another size, or it holds numbers that are no class.
        """
        if (kept := self._kept.get(index)) is not None:
            return kept
        sample = self._read(self._items[index])
        size = sample.image.nbytes + sample.labels.nbytes
        if self._bytes + size <= _KEPT_BYTES:
            self._kept[index] = sample
            self._bytes += size
        return sample

    def _read(self, item: Item) -> Sample:
        assert item.image is not None
        assert item.labels is not None
        try:
            image = read_image(item.image)
            labels = item.labels((image.shape[0], image.shape[1]))
        except IcnetError as error:
            raise DataError(str(error)) from error
        faults = [text for kind, text in labels.faults if kind not in _HARMLESS]
        if labels.ids.shape != image.shape[:2]:
            faults.append("has another size than its picture")
        if faults:
            raise DataError(f"the mask of {item.name} in {self.root} {faults[0]}: see `icnet data check {self.root}`")
        ids = labels.ids
        assert ids.max(initial=0, where=ids != OUTSIDE) < len(self.classes)
        image.setflags(write=False)
        ids.setflags(write=False)
        return Sample(item.name, image, ids)
