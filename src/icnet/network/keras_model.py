"""ICNet as a Keras model; the graph itself is `icnet.network.graph.logits`."""

import keras

from icnet.network.graph import logits
from icnet.network.keras_layers import KerasOps
from icnet.network.spec import Spec


def build(
    spec: Spec, size_hw: tuple[int, int] | None = None, *, auxiliary: bool = False, ops: KerasOps | None = None
) -> keras.Model:
    """Build the network with fresh weights.

    Args:
        spec: widths and normalisation.
        size_hw: input size; the spec's own by default.
        auxiliary: also give the two heads that only the training loss uses.
        ops: pass the same object to a second call to share the weights between two input sizes.

    Returns:
        A functional model from (N, H, W, 3) BGR, 0 to 255, to logits (N, H/4, W/4, classes); with `auxiliary` to a list
        of logits at 1/4, 1/8 and 1/16.

    Raises:
        UsageError: the size does not fit the strides; the message names the nearest that do.
    """
    size_hw = size_hw or spec.size_hw
    data = keras.Input((*size_hw, 3), name="data")
    heads = logits(ops or KerasOps(), data, spec, size_hw, auxiliary=auxiliary)
    model = keras.Model(data, heads.built if auxiliary else heads.full, name=spec.name.replace("-", "_"))
    model.jit_compile = keras.backend.backend() == "jax"  # on a CPU, XLA makes TensorFlow slower; JAX has nothing else
    return model
