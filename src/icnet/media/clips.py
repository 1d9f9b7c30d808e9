"""Moving pictures, wherever they come from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video."""

    image: np.ndarray
    """(H, W, 3) uint8 BGR."""
    time_s: float
    """Seconds since the beginning."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel by its height, of an upright picture."""


class Clip(ABC):
    """Moving pictures: read once, in order. Use it in a `with` statement.

    Attributes:
        rate: frames per second, as far as it is known beforehand.
        length: number of frames, an estimate; None if unknown.
        live: frames come when they come, and who is slow misses some.
        drops: how often a live picture was lost so far.
        damaged: how many pieces could not be decoded so far; what could be is given.
    """

    rate: Fraction
    length: int | None
    live = False
    drops = 0
    damaged = 0

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *_: object) -> None:
        """Let go of the source."""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """The frames as they come."""

    @property
    def shortfall(self) -> str | None:
        """What is missing, after the last frame; None if nothing is."""
        return None
