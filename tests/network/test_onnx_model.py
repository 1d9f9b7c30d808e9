import dataclasses

import numpy as np
import pytest
from engines import in_openvino

from icnet.network.onnx_model import onnx_model
from icnet.network.openvino_model import openvino_model

pytest.importorskip("onnx", reason="an ONNX model needs the package onnx")


@pytest.mark.parametrize("convolve_low", [False, True])
@pytest.mark.parametrize("size_hw", [(80, 112), (176, 240)])
def test_onnx_runtime_gives_the_classes_of_openvino(weights, size_hw, convolve_low):
    onnxruntime = pytest.importorskip("onnxruntime")
    weights = dataclasses.replace(weights, spec=dataclasses.replace(weights.spec, size_hw=size_hw, convolve_low=convolve_low))
    data = np.random.default_rng(0).uniform(0, 255, (1, *size_hw, 3)).astype(np.float32)
    expected = in_openvino(openvino_model(weights, output="index"), data)
    assert len(np.unique(expected)) > 3, "the comparison needs several classes"
    session = onnxruntime.InferenceSession(onnx_model(weights), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"data": data})
    assert found.shape == expected.shape
    assert (found != expected).mean() < 1e-3


def test_the_model_is_valid(weights):
    import onnx

    onnx.checker.check_model(onnx.load_from_string(onnx_model(weights)), full_check=True)
