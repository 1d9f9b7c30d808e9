"""Which unlabelled pictures to label next: those of which a network is least sure, without pictures that show nearly the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icnet.base.errors import DataError, InputError
from icnet.data.checks.likeness import Look, look, without_alike
from icnet.data.formats.tree import Tree
from icnet.pictures.reading import read_image


@dataclass(frozen=True)
class Ranked:
    """A picture and how unsure a network is of it."""

    name: str
    doubt: float
    """From 0, sure, to 1: see `doubt`."""


@dataclass(frozen=True)
class Ranking:
    """Pictures in the order in which to label them."""

    pictures: tuple[Ranked, ...]
    """The least sure ones first."""
    alike: tuple[tuple[str, str], ...]
    """Names of pictures that were left out, each with the one in the order that shows nearly the same."""
    unreadable: tuple[tuple[str, str], ...]
    """Names of pictures that cannot be read, with the reason."""


def doubt(probabilities: np.ndarray) -> float:
    """How unsure an answer is: 1 less the margin between the two most probable classes, as a mean over all places.

    Margin sampling, Scheffer et al., 2001; in Settles, Active Learning Literature Survey, 2009, section 3.1.

    Args:
        probabilities: (h, w, C) of two classes or more.
    """
    first, second = np.partition(probabilities, -2, axis=-1)[..., -1:-3:-1].transpose(2, 0, 1)
    return float(np.mean(1 - (first - second)))


def rank(
    root: Path, ask: Callable[[np.ndarray], np.ndarray], *, step: Callable[[int, int], None] = lambda done, of: None
) -> Ranking:
    """Order the pictures of a folder.

    Args:
        root: with pictures at any depth.
        ask: gives the (h, w, C) probabilities of the classes in a (H, W, 3) uint8 BGR picture.
        step: is told how many pictures of how many are done.

    Raises:
        DataError: no picture there can be read.
    """
    tree = Tree(root)
    names = list(tree.pictures())
    seen: list[tuple[Ranked, Look]] = []
    unreadable: list[tuple[str, str]] = []
    for done, name in enumerate(names, 1):
        try:
            picture = read_image(tree.path(name))
            seen.append((Ranked(name, doubt(ask(picture))), look(picture)))
        except InputError as error:
            unreadable.append((name, str(error)))
        step(done, len(names))
    if not seen:
        raise DataError(f"{root} has no picture that can be read" + (f": {unreadable[0][1]}" if unreadable else ""))
    return Ranking(*_ordered(seen), tuple(unreadable))


def _ordered(seen: Sequence[tuple[Ranked, Look]]) -> tuple[tuple[Ranked, ...], tuple[tuple[str, str], ...]]:
    order = sorted(seen, key=lambda each: (-each[0].doubt, each[0].name))
    like = without_alike([each[1] for each in order])
    kept = tuple(order[index][0] for index, other in enumerate(like) if other is None)
    return kept, tuple((order[index][0].name, order[other][0].name) for index, other in enumerate(like) if other is not None)
