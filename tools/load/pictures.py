"""As many different pictures as wanted, and what the model makes of them one after another."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from icnet.runtime.segmenter import Segmenter
from icnet.street.drive import StreetDrive, StreetOptions

SIZES_HW = ((240, 320), (360, 480), (300, 420), (288, 512))


@dataclass(frozen=True, eq=False)
class Picture:
    """One request's input."""

    number: int
    jpeg: bytes
    frame: np.ndarray
    """(H, W, 3) uint8 BGR: what the JPEG decodes to."""


class Pictures:
    """Any number of different pictures, each depending on its number only."""

    def __init__(self, *, streets: int = 8, sizes_hw: Sequence[tuple[int, int]] = SIZES_HW) -> None:
        """Paint what the pictures are cut from.

        Args:
            streets: different synthetic streets.
            sizes_hw: sizes of the pictures, which take turns.
        """
        height, width = np.max(sizes_hw, axis=0) * 3 // 2
        self._streets = [StreetDrive(StreetOptions(seed=seed, size_hw=(height, width)))[seed].image for seed in range(streets)]
        self._sizes_hw = sizes_hw

    def __call__(self, number: int) -> Picture:
        """A cut of a street, perhaps mirrored, brighter or darker, with noise of its own."""
        rng = np.random.default_rng([7, number])
        height, width = self._sizes_hw[number % len(self._sizes_hw)]
        street = self._streets[rng.integers(len(self._streets))]
        y, x = (int(rng.integers(0, room + 1)) for room in (street.shape[0] - height, street.shape[1] - width))
        cut = street[y : y + height, x : x + width]
        if rng.integers(2):
            cut = cut[:, ::-1]
        noisy = cut * rng.uniform(0.6, 1.4) + rng.integers(-4, 5, cut.shape, dtype=np.int8)
        jpeg = encoded(np.clip(noisy, 0, 255).astype(np.uint8))
        return Picture(number, jpeg, decoded(jpeg))


def encoded(frame: np.ndarray) -> bytes:
    """JPEG of a (H, W, 3) uint8 BGR frame."""
    return cv2.imencode(".jpg", frame)[1].tobytes()


def decoded(data: bytes) -> np.ndarray:
    """(H, W, 3) uint8 BGR frame of a JPEG."""
    frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert frame is not None
    return frame


def classes_of(png: bytes) -> np.ndarray:
    """(H, W) uint8 class map of an index PNG."""
    classes = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert classes is not None
    return np.asarray(classes, np.uint8)


def digest(classes: np.ndarray) -> str:
    """Tells (H, W) uint8 class maps apart."""
    height, width = classes.shape
    return f"{height}x{width}-{hashlib.sha256(classes.tobytes()).hexdigest()[:24]}"


def reference(segmenter: Segmenter, picture: Picture) -> str:
    """Digest of the class map that a request with this picture must be answered with."""
    return digest(segmenter(picture.frame).classes)
