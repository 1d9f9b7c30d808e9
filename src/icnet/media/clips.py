"""Moving pictures, wherever they come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video."""

    image: np.ndarray
    """(H, W, 3) uint8 BGR."""
    time_s: float
    """Seconds since the beginning."""


class Clip(Protocol):
    """Moving pictures: read once, in order."""

    rate: Fraction
    """Frames per second, as far as it is known beforehand."""
    length: int | None
    """Number of frames, an estimate; None if unknown."""

    def __iter__(self) -> Iterator[Frame]:
        """The frames as they come."""
        ...
