"""Which pictures show nearly the same: a difference hash, confirmed by the brightness of small copies."""

from dataclasses import dataclass

import cv2
import numpy as np

_HASH = 16
"""Rows and columns of the hash; a bit tells whether a place is brighter than the one to its left (dHash, N. Krawetz, 2013)."""

_SMALL = 32
"""Side in pixels of the copies that are compared."""

_MOST_BITS = 32
"""Of the 256 bits that may differ."""

_LEAST_CORRELATION = 0.97

_FLAT = 2.0
"""Standard deviation of a small copy, in grey levels, below which there is nothing to compare."""

_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class Look:
    """What a picture looks like from afar."""

    bits: np.ndarray
    """(256,) int8, -1 or 1."""
    small: np.ndarray
    """(1024,) float32 brightness, less its mean and of length 1."""
    is_blank: bool


def look(pixels: np.ndarray) -> Look:
    """Look at (H, W) or (H, W, 3) uint8 or uint16 pixels."""
    small = cv2.resize(pixels, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
    hashed = cv2.resize(pixels, (_HASH + 1, _HASH), interpolation=cv2.INTER_AREA)
    grey, edges = (cv2.cvtColor(one, cv2.COLOR_BGR2GRAY) if one.ndim == 3 else one for one in (small, hashed))
    centred = grey.astype(np.float32).ravel() - float(grey.mean())
    length = float(np.linalg.norm(centred))
    bits = np.where(edges[:, 1:] > edges[:, :-1], 1, -1).astype(np.int8).ravel()
    return Look(bits, centred / max(length, 1e-6), length < _FLAT * _SMALL)


def alike(ones: list[Look], others: list[Look]) -> list[tuple[int, int]]:
    """For each of `others` the one of `ones` that looks most like it, if it shows nearly the same.

    Returns:
        Pairs of an index into `ones` and one into `others`.
    """
    pairs: list[tuple[int, int]] = []
    if not ones:
        return pairs
    bits = np.stack([each.bits for each in ones]).astype(np.float32)
    for start in range(0, len(others), _BLOCK):
        block = others[start : start + _BLOCK]
        same = np.stack([each.bits for each in block]).astype(np.float32) @ bits.T  # 256 less twice the bits that differ
        nearest = same.argmax(axis=1).tolist()
        for place, index in enumerate(nearest):
            if _is_close(float(same[place, index]), ones[index], block[place]):
                pairs.append((index, start + place))
    return pairs


def without_alike(looks: list[Look]) -> list[int | None]:
    """For each picture in order the index of an earlier one that shows nearly the same and is kept itself; None if it is kept."""
    kept: list[int] = []
    bits = np.empty((len(looks), _HASH * _HASH), np.float32)
    found: list[int | None] = []
    for index, each in enumerate(looks):
        same = bits[: len(kept)] @ each.bits.astype(np.float32)
        nearest = kept[int(same.argmax())] if kept else None
        if nearest is not None and _is_close(float(same.max()), looks[nearest], each):
            found.append(nearest)
            continue
        bits[len(kept)] = each.bits
        kept.append(index)
        found.append(None)
    return found


def _is_close(same: float, one: Look, other: Look) -> bool:
    """Whether two looks, of which the product of the bits is known, are of nearly the same picture."""
    if one.is_blank or other.is_blank or same < _HASH * _HASH - 2 * _MOST_BITS:
        return False
    return float(one.small @ other.small) >= _LEAST_CORRELATION
