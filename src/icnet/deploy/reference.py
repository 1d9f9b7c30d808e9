"""The trained network in Keras, behind the same few attributes as the OpenVINO engine: what every export is held against."""

import os

import numpy as np

from icnet.base.errors import UsageError
from icnet.base.weights import Weights
from icnet.runtime.graph import Output


class KerasNetwork:
    """Weights running in Keras.

    Attributes:
        name: the model's name.
        output: always `logits`.
        size_hw: H and W of the input.
    """

    output: Output = "logits"

    def __init__(self, weights: Weights, size_hw: tuple[int, int] | None = None):
        """Build the network for `size_hw`, or for the spec's own input size.

        Raises:
            UsageError: Keras or its backend is not installed, or the size does not fit the strides.
            ModelError: the weights do not fit their own description.
        """
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes would bury our one-line messages
        try:
            from icnet.net.icnet import build
            from icnet.net.weights import set_weights
        except ModuleNotFoundError as error:
            raise UsageError(
                f"this needs Keras and a backend (no module {error.name!r}): run pip install 'icnet[export]'"
            ) from error
        self.name = weights.spec.name
        self.size_hw = size_hw or weights.spec.size_hw
        self._model = build(weights.spec, self.size_hw)
        set_weights(self._model, weights)

    def infer(self, data: np.ndarray) -> np.ndarray:
        """Run the network.

        Args:
            data: (1, H, W, 3) float32 BGR, 0 to 255.

        Returns:
            Logits, (1, 12, H/4, W/4) float32.
        """
        import keras

        logits = keras.ops.convert_to_numpy(self._model(data, training=False))
        return np.ascontiguousarray(logits.transpose(0, 3, 1, 2))
