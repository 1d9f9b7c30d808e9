"""Weights, a picture and OpenVINO, to hold the engines against each other."""

import numpy as np
import openvino as ov

from icnet.network.spec import IcnetSpec, LiteSpec
from icnet.network.weights import Weights, random_weights


def uneven_weights(spec: IcnetSpec | LiteSpec) -> Weights:
    """Random kernels and batch normalisations that are not the identity, so that folding matters."""
    plain, generator = random_weights(spec, seed=1), np.random.default_rng(2)
    tensors = {
        name: array if name.endswith("kernel") else array + generator.uniform(0, 0.3, array.shape).astype(np.float32)
        for name, array in plain.tensors.items()
    }
    return Weights(spec, tensors)


def noise(size_hw: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(5).uniform(0, 255, (1, *size_hw, 3)).astype(np.float32)


def in_openvino(model: ov.Model, data: np.ndarray) -> np.ndarray:
    """The first output, in full precision."""
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(data)[0]
