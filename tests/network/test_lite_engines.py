"""The lite family in every engine: one set of weights, the same answers and the same counts."""

import dataclasses

import numpy as np
import pytest
from engines import in_openvino, noise, uneven_weights
from tiny_network import TINY_LITE, Blocks

from icnet.base.classes import CAMVID
from icnet.deploy.openvino import save_ir
from icnet.network.graph import convolutions
from icnet.network.openvino_model import openvino_model
from icnet.network.spec import LITE2
from icnet.network.weights import Weights, load_weights, save_weights
from icnet.runtime.facts import model_facts

SPECS = {
    "part of the picture": TINY_LITE,
    "all of it, plain": dataclasses.replace(TINY_LITE, scale=1.0, separable=False, fusion=(16, 16, 8, 8, 0)),
}


def _close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


# 80x112 leaves odd maps almost everywhere.
@pytest.mark.parametrize("size_hw", [(96, 128), (80, 112)])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_engines_agree(spec, size_hw):
    pytest.importorskip("keras")
    from icnet.evaluation.reference import TorchNetwork, keras_network
    from icnet.network.onnx_model import onnx_model

    weights, data = uneven_weights(dataclasses.replace(spec, size_hw=size_hw)), noise(size_hw)
    expected = in_openvino(openvino_model(weights), data)
    assert expected.shape == (1, 12, size_hw[0] // 4, size_hw[1] // 4)
    assert len(np.unique(expected.argmax(1))) > 1, "the comparison needs several classes"
    _close(keras_network(weights).infer(data), expected)
    _close(in_openvino(openvino_model(weights, half=True), data), in_openvino(openvino_model(_rounded(weights)), data))
    pytest.importorskip("torch")
    _close(TorchNetwork(weights).infer(data), expected)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(onnx_model(weights), providers=["CPUExecutionProvider"])
    (index,) = session.run(None, {"data": data})
    assert (index != in_openvino(openvino_model(weights, output="index"), data)).mean() < 1e-3


def _rounded(weights: Weights) -> Weights:
    tensors = {
        name: array.astype(np.float16).astype(np.float32) if name.endswith("kernel") else array
        for name, array in weights.tensors.items()
    }
    return dataclasses.replace(weights, tensors=tensors)


def test_keras_gives_back_the_weights_and_the_file_too(tmp_path):
    pytest.importorskip("keras")
    from icnet.network.keras_model import build
    from icnet.network.keras_weights import get_weights, set_weights

    weights = uneven_weights(TINY_LITE)
    model = build(TINY_LITE, auxiliary=True)
    set_weights(model, weights)
    save_weights(tmp_path / "lite.safetensors", get_weights(model, TINY_LITE))
    found = load_weights(tmp_path / "lite.safetensors")
    assert found.spec == TINY_LITE
    assert found.tensors.keys() == weights.tensors.keys()
    for name, array in weights.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], array, err_msg=name)


def test_an_ir_is_counted_like_the_weights(tmp_path):
    weights = uneven_weights(TINY_LITE)
    save_weights(tmp_path / "lite.safetensors", weights)
    save_ir(openvino_model(weights, half=True), tmp_path / "lite.xml", {}, CAMVID)
    of_weights, of_ir = (model_facts(str(tmp_path / f"lite.{suffix}")) for suffix in ("safetensors", "xml"))
    assert of_ir.kernel_weights == of_weights.kernel_weights == sum(conv.kernel_weights for conv in convolutions(TINY_LITE))
    assert of_ir.gflops == pytest.approx(of_weights.gflops)
    assert {layer.dense_kernel_shape for layer in of_ir.layers} == {None}, "the dense network is of another family"
    assert [layer.kernel_shape for layer in of_ir.layers] == [layer.kernel_shape for layer in of_weights.layers]


def test_hand_counted_depthwise_convolution():
    convs = {conv.name: conv for conv in convolutions(dataclasses.replace(TINY_LITE, trunk=LITE2, scale=1.0), (64, 96))}
    conv = convs["block2_depthwise"]  # six times 16 channels from 1/2 to 1/4
    assert (conv.kernel_shape, conv.groups) == ((3, 3, 1, 96), 96)
    assert conv.multiply_adds == 9 * 96 * 16 * 24


def test_every_convolution_is_in_eight_bits():
    pytest.importorskip("nncf", reason="quantizing needs NNCF")
    from icnet.deploy.quantize import QuantizeOptions, float_convolutions, quantize

    weights = uneven_weights(TINY_LITE)
    assert set(float_convolutions(openvino_model(weights))) == {conv.name for conv in convolutions(TINY_LITE)}
    made = quantize(weights, Blocks(6), Blocks(2, seed=1), options=QuantizeOptions(max_drop=100, images=4))
    assert float_convolutions(made.model) == []
