"""Starting a network from the weights of a narrower one."""

import numpy as np

from icnet.network.spec import Spec
from icnet.network.weights import Weights
from icnet.network.widths import widen

NEW_SCALE = 0.1
"""Of new kernels against He's: batch normalisation undoes it, and pruning by magnitude prefers them less to old ones."""


def grow(weights: Weights, spec: Spec, *, seed: int = 0) -> Weights:
    """Add channels that change no output but can learn, in the spirit of Net2Net (Chen et al., arXiv 1511.05641).

    A new channel has a random kernel, so it computes something, and zero weights wherever an old channel reads it, so
    nothing changes until those have learnt. What it reads may be new too. In a residual stream, its shortcut and its
    expansions are random and all its old readers have zeros, so the rule needs no exception there.

    Args:
        weights: the narrow network, with or without auxiliary heads.
        spec: the wide network, as `icnet.network.widths.widen` takes it. With equal widths nothing is added.
        seed: of the new kernels, which are He normal times `NEW_SCALE`.

    Raises:
        ModelError: `spec` is narrower somewhere, or differs in something else.
    """
    grown = widen(weights, spec)
    for index, (name, tensor) in enumerate(grown.tensors.items()):
        part = name.rsplit("/", 1)[1]
        old = weights.tensors[name].shape[-1]
        if part == "kernel":
            fan_in = tensor[..., 0].size
            generator = np.random.default_rng([seed, index])
            new = generator.standard_normal((*tensor.shape[:-1], tensor.shape[-1] - old), dtype=np.float32)
            tensor[..., old:] = new * np.float32(NEW_SCALE * np.sqrt(2 / fan_in))
        elif part == "gamma":
            tensor[old:] = 1
    return grown
