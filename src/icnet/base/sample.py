"""What every dataset yields, so that CamVid, the synthetic street and a user's own reader are interchangeable."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from icnet.base.classes import Classes


@dataclass(frozen=True)
class Sample:
    """One labelled image."""

    name: str
    """File stem, or another name that is unique in its dataset."""
    image: np.ndarray
    """(H, W, 3) uint8 BGR."""
    labels: np.ndarray
    """(H, W) uint8 class indices, void among them; `OUTSIDE` where nothing is to be learnt or scored."""
    answers: np.ndarray | None = None
    """(h, w, C) uint8, a teacher's probabilities in 255ths over the whole image, at any size: see `icnet.data.taught`."""


class Dataset(Protocol):
    """A finite sequence of samples; reading one twice gives the same pixels."""

    @property
    def classes(self) -> Classes:
        """What the labels mean."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...
