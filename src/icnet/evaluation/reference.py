"""The network in Keras or PyTorch, behind the attributes of the engine: what is validated, and what exports are held against."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from icnet.base.classes import Classes
from icnet.base.errors import UsageError
from icnet.base.stderr import native_messages_dropped
from icnet.network.graph import logits
from icnet.network.weights import Weights, calibrated

if TYPE_CHECKING:
    import keras

    from icnet.network.openvino_model import Output

BACKENDS = ("tensorflow", "jax", "torch")
"""The values of KERAS_BACKEND that are supported; the first is the default."""

FASTEST_TO_TRAIN = "torch"
"""The default of training, on a machine that has it."""


def require_keras(extra: str, *, training: bool = False) -> None:
    """Import Keras with the backend that KERAS_BACKEND names, so that a failure comes first and in one line.

    Call it before anything else imports Keras: the backend is chosen at the first import and cannot be changed after it.

    Args:
        extra: what to install of this package if Keras or its default backend is missing, such as `export`.
        training: take the backend that trains fastest on a CPU, if it is installed.

    Raises:
        UsageError: KERAS_BACKEND names no supported backend, or Keras or the backend cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes would bury our one-line messages
    faster = training and find_spec(FASTEST_TO_TRAIN) and "keras" not in sys.modules  # which has its backend already
    default = FASTEST_TO_TRAIN if faster else BACKENDS[0]
    asked = os.environ.get("KERAS_BACKEND")
    backend = os.environ["KERAS_BACKEND"] = asked or default
    if backend not in BACKENDS:
        raise UsageError(f"KERAS_BACKEND is {backend!r}: set it to one of {', '.join(BACKENDS)}, or unset it")
    try:
        with native_messages_dropped():  # TensorFlow's start-up notes, which no log level holds back
            import keras  # noqa: F401
    except ImportError as error:
        reason = f"no module {error.name!r}" if isinstance(error, ModuleNotFoundError) else str(error).partition("\n")[0]
        chosen = default != BACKENDS[0] and backend == default and not asked
        other = backend != BACKENDS[0] and (error.name or "").partition(".")[0] != "keras"
        unset = f"set KERAS_BACKEND={BACKENDS[0]}" if chosen else "unset KERAS_BACKEND"
        cure = f"install {backend} or {unset}" if other else f"run pip install 'icnet[{extra}]'"
        raise UsageError(f"this needs Keras with its backend {backend} ({reason}): {cure}") from error


class KerasNetwork:
    """A Keras model as an `icnet.evaluation.accuracy.Network`."""

    output: Output = "logits"

    def __init__(self, model: keras.Model, classes: Classes) -> None:
        """Wrap an inference model that `icnet.network.keras_model.build` made for these classes."""
        self._model, self.classes = model, classes
        self.size_hw: tuple[int, int] = model.input_shape[1:3]

    def infer(self, data: np.ndarray) -> np.ndarray:
        """(1, H, W, 3) uint8 BGR to logits, (1, C, H/4, W/4) float32."""
        return np.ascontiguousarray(self._model.predict_on_batch(data.astype(np.float32)).transpose(0, 3, 1, 2))


class TorchNetwork:
    """A network in PyTorch as an `icnet.evaluation.accuracy.Network`."""

    output: Output = "logits"

    def __init__(self, weights: Weights) -> None:
        """Run `weights` at their own input size."""
        from icnet.network.torch_ops import TorchOps, to_torch

        weights = calibrated(weights)
        self._spec = weights.spec
        self._ops = TorchOps({name: to_torch(name, array) for name, array in weights.tensors.items()})
        self.size_hw, self.classes = weights.spec.size_hw, weights.spec.classes

    def infer(self, data: np.ndarray) -> np.ndarray:
        """(1, H, W, 3) uint8 BGR to logits, (1, C, H/4, W/4) float32."""
        import torch

        from icnet.network.torch_ops import nchw

        with torch.inference_mode():
            return np.ascontiguousarray(logits(self._ops, nchw(data), self._spec, self.size_hw).full.numpy())


def keras_network(weights: Weights, size_hw: tuple[int, int] | None = None) -> KerasNetwork:
    """Build trained weights in Keras, for `size_hw` or the spec's own input size.

    Raises:
        UsageError: Keras or its backend cannot be imported, or the size does not fit the strides.
        ModelError: the weights do not fit their own description.
    """
    require_keras("export")
    from icnet.network.keras_model import build
    from icnet.network.keras_weights import set_weights

    model = build(weights.spec, size_hw)
    set_weights(model, calibrated(weights))
    return KerasNetwork(model, weights.spec.classes)
