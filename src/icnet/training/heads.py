"""Classifiers for other classes than those that a network was trained for."""

from dataclasses import replace

import numpy as np

from icnet.base.classes import Classes
from icnet.network.weights import Weights

_SAME = (
    ("car", "vehicle"),
    ("person", "pedestrian", "human"),
    ("sidewalk", "pavement"),
    ("vegetation", "tree"),
    ("bicycle", "bike"),
    ("sign", "signsymbol", "traffic sign"),
    ("unlabeled", "unlabelled", "void", "no label"),
)
"""Names, in lower case, that data sets have for the same thing."""


def _plain(name: str) -> str:
    """A name without case and signs between words, and one for all that mean the same."""
    name = " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
    return next((same[0] for same in _SAME if name in same), name)


def carried_classes(old: Classes, new: Classes) -> list[int | None]:
    """For each new class the index of the old one of the same name, or of one that means the same; None if there is none.

    Void is void, whatever it is called, and a name that is the same in every letter goes before one that is not.
    """
    exact = {name: index for index, name in enumerate(old.names)}
    alike = {_plain(name): index for index, name in reversed(list(enumerate(old.names)))}
    found = [exact.get(name, alike.get(_plain(name))) for name in new.names]
    if new.void is not None and old.void is not None:
        found[new.void] = old.void
    return found


def carried(weights: Weights, classes: Classes, *, seed: int = 0) -> Weights:
    """The same network for other classes: `carried_classes` keep their rows in every classifier, the others get fresh ones.

    Args:
        weights: with or without auxiliary heads.
        classes: what the new network answers; as it is where they are the old ones.
        seed: of the fresh rows, whose kernels are He normal.
    """
    if weights.spec.classes == classes:
        return weights
    rows = carried_classes(weights.spec.classes, classes)
    kept = [index for index, row in enumerate(rows) if row is not None]
    chosen = [row for row in rows if row is not None]
    tensors = dict(weights.tensors)
    generator = np.random.default_rng(seed)
    for name, tensor in weights.tensors.items():
        if not name.startswith(("classifier/", "auxiliary_")):
            continue
        wanted = np.zeros((*tensor.shape[:-1], len(classes)), np.float32)
        if name.endswith("/kernel"):
            wanted[:] = generator.standard_normal(wanted.shape, np.float32) * np.float32(np.sqrt(2 / tensor[..., 0].size))
        wanted[..., kept] = tensor[..., chosen]
        tensors[name] = wanted
    return replace(weights, spec=replace(weights.spec, classes=classes), tensors=tensors)


def told(old: Classes, new: Classes) -> str:
    """What `carried` does, in a line."""
    rows = carried_classes(old, new)
    pairs = [(name, None if row is None else old.names[row]) for name, row in zip(new.names, rows, strict=True)]
    kept = [name if name == before else f"{name} (was {before})" for name, before in pairs if before is not None]
    fresh = [name for name, before in pairs if before is None]
    return f"classes that the initial weights know: {', '.join(kept) or 'none'}; new: {', '.join(fresh) or 'none'}"
