"""One way to name training data on the command line."""

from icnet.data.camvid import CamVid
from icnet.data.sample import Dataset
from icnet.data.street import StreetSet

STREET = "street"
"""The name of the synthetic set."""

_STREET_SEEDS = {"train": 1, "val": 2, "test": 3}
_STREET_IMAGES = {"train": 367, "val": 101, "test": 101}  # as many as CamVid


def open_split(source: str, split: str) -> Dataset:
    """The split of a CamVid folder, or of the synthetic street if `source` is "street".

    Raises:
        DataError: the folder is incomplete.
    """
    if source == STREET and split in _STREET_SEEDS:
        return StreetSet(_STREET_IMAGES[split], seed=_STREET_SEEDS[split])
    return CamVid(source, split)
