"""A validation split that is made: whole sequences, so that no picture has its neighbour in the other split."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)\D?", re.DOTALL)
"""A name that ends in the number of a frame."""

_TOO_MANY = 1.5
"""So many times the wanted number of pictures may be taken before a sequence is rather cut."""


@dataclass(frozen=True)
class Drawn:
    """Which pictures are for validation."""

    names: frozenset[str]
    sequences: tuple[str, ...]
    """What they are: a folder, the beginning of the names, or a picture's own name."""
    cut: bool
    """Whether a sequence had to be cut, because there was none of a suitable length."""


def sequences(names: Sequence[str]) -> dict[str, list[str]]:
    """Names by their sequence, in its order: the same folder, or in a single folder the same beginning before a last number."""
    folders = {str(PurePosixPath(name).parent) for name in names}
    found: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name)
        match = _NUMBERED.fullmatch(path.name)
        key = str(path.parent) if len(folders) > 1 else match["before"] if match else path.name
        found.setdefault(key, []).append(name)
    return {key: sorted(found[key], key=_frame) for key in sorted(found)}


def _frame(name: str) -> tuple[str, int, str]:
    match = _NUMBERED.fullmatch(name)
    return (match["before"], int(match["number"][-18:]), name) if match else (name, 0, name)


def draw_validation(names: Sequence[str], share: float, seed: int) -> Drawn:
    """Draw sequences until about `share` of the pictures are taken; the same seed draws the same.

    Args:
        names: two or more.
        share: above 0 and below 1.
        seed: of the order in which sequences are tried.
    """
    groups = sequences(names)
    wanted = min(max(1, round(share * len(names))), len(names) - 1)
    order = list(groups)
    random.Random(seed).shuffle(order)
    taken: list[str] = []
    count = 0
    for key in order:
        if count + len(groups[key]) <= wanted:
            taken.append(key)
            count += len(groups[key])
    if not taken:
        shortest = min(order, key=lambda key: len(groups[key]))
        if len(order) > 1 and len(groups[shortest]) <= _TOO_MANY * wanted:
            taken = [shortest]
        else:
            longest = max(order, key=lambda key: len(groups[key]))
            return Drawn(frozenset(groups[longest][-wanted:]), (longest,), True)
    return Drawn(frozenset(name for key in taken for name in groups[key]), tuple(sorted(taken)), False)
