"""One way to name labelled data on the command line."""

from pathlib import Path

from icnet.base.errors import DataError
from icnet.base.sample import Dataset, Sample
from icnet.data.camvid import CamVid
from icnet.data.labelled import Labelled, is_labelled
from icnet.street.drive import StreetSet

STREET = "street"
"""The name of the synthetic set."""

_STREET = {"train": (128, 1), "val": (101, 2), "test": (101, 3)}
"""Number of images, and seed."""


class _Kept:
    """Keeps every sample once it was made: a scene takes longer to paint than a training step."""

    def __init__(self, dataset: Dataset):
        self._dataset, self.classes = dataset, dataset.classes
        self._samples: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        if index not in self._samples:
            self._samples[index] = self._dataset[index]
        return self._samples[index]


def open_split(source: str, split: str) -> Dataset:
    """The split of a folder that was imported, of a CamVid folder, or of the synthetic street if `source` is "street".

    The street has CamVid's size.

    Raises:
        DataError: the folder is incomplete, or there is no such split.
    """
    if source != STREET:
        return Labelled(source, split) if is_labelled(Path(source)) else CamVid(source, split)
    if split not in _STREET:
        raise DataError(f"the synthetic street has no split {split!r}: choose one of {', '.join(_STREET)}")
    count, seed = _STREET[split]
    return _Kept(StreetSet(count, seed=seed, size_hw=(360, 480)))
