"""The network in Keras, behind the attributes of the OpenVINO engine: what is validated, and what exports are held against."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from icnet.base.errors import UsageError
from icnet.base.weights import Weights

if TYPE_CHECKING:
    import keras

    from icnet.runtime.graph import Output


class KerasNetwork:
    """A Keras model that can be scored.

    Attributes:
        output: always `logits`.
        size_hw: H and W of the input.
    """

    output: Output = "logits"

    def __init__(self, model: keras.Model):
        """Wrap an inference model that `icnet.net.icnet.build` made."""
        self._model = model
        self.size_hw: tuple[int, int] = model.input_shape[1:3]

    def infer(self, data: np.ndarray) -> np.ndarray:
        """Run the network.

        Args:
            data: (1, H, W, 3) float32 BGR, 0 to 255.

        Returns:
            Logits, (1, 12, H/4, W/4) float32.
        """
        return np.ascontiguousarray(self._model.predict_on_batch(data).transpose(0, 3, 1, 2))


def keras_network(weights: Weights, size_hw: tuple[int, int] | None = None) -> KerasNetwork:
    """Build trained weights in Keras, for `size_hw` or the spec's own input size.

    Raises:
        UsageError: Keras or its backend is not installed, or the size does not fit the strides.
        ModelError: the weights do not fit their own description.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes would bury our one-line messages
    try:
        from icnet.net.icnet import build
        from icnet.net.weights import set_weights
    except ModuleNotFoundError as error:
        raise UsageError(f"this needs Keras and a backend (no module {error.name!r}): run pip install 'icnet[export]'") from error
    model = build(weights.spec, size_hw)
    set_weights(model, weights)
    return KerasNetwork(model)
