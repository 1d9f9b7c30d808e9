"""How unsteady the class maps of a film are: changes of class that the truth does not know."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from icnet.base.classes import NAMES, SCORED, VOID
from icnet.base.errors import DataError


@dataclass(frozen=True, eq=False)
class Flicker:
    """Pixels of consecutive frames whose truth is the same labelled class in both, by that class."""

    pixels: np.ndarray
    """(11,) int64, how many there are."""
    changed: np.ndarray
    """(11,) int64, how many of them were given another class than in the frame before."""

    @property
    def share(self) -> float:
        """Fraction of the pixels that changed; NaN if there are none."""
        pixels = int(self.pixels.sum())
        return int(self.changed.sum()) / pixels if pixels else float("nan")

    def shares(self) -> dict[str, float]:
        """Class name to the fraction of its pixels that changed; without the classes that have none."""
        counts = zip(NAMES, self.changed, self.pixels, strict=False)
        return {name: int(changed) / int(pixels) for name, changed, pixels in counts if pixels}


def flicker(frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> Flicker:
    """Count over all pairs of consecutive frames.

    Args:
        frames: truth and predicted classes of each frame in order, both integer of one shape, the same for all frames.

    Returns:
        The counts, summed over the pairs.

    Raises:
        DataError: there are fewer than two frames, or one has another size.
    """
    pixels, changed = np.zeros(SCORED, np.int64), np.zeros(SCORED, np.int64)
    pairs = 0
    for (truth_before, before), (truth, after) in pairwise(frames):
        if not truth_before.shape == before.shape == truth.shape == after.shape:
            raise DataError(f"a frame is {after.shape}, the one before {before.shape}: a film has frames of one size")
        same = truth[(truth == truth_before) & (truth != VOID)]
        other = truth[(truth == truth_before) & (truth != VOID) & (after != before)]
        pixels += np.bincount(same, minlength=SCORED)
        changed += np.bincount(other, minlength=SCORED)
        pairs += 1
    if not pairs:
        raise DataError("flicker is a change between two frames: give a film of at least two")
    return Flicker(pixels, changed)
