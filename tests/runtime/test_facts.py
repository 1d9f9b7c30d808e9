import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from safetensors import safe_open

from icnet.base.errors import ModelError
from icnet.network.graph import convolutions
from icnet.network.openvino_model import openvino_model
from icnet.network.weights import Weights, random_weights, save_weights
from icnet.runtime.facts import model_facts


def with_zeros(tiny, zeros: int) -> Weights:
    """Weights of which exactly `zeros` of the inference graph are 0; the auxiliary classifiers hold others, not to be counted."""
    weights = random_weights(tiny, seed=2)
    # Nothing that fp16 would round to zero by itself.
    tensors = {
        name: np.where(abs(array) < 1e-4, 1, array).astype(np.float32) if name.endswith("kernel") else array
        for name, array in weights.tensors.items()
    }
    tensors["stem1/kernel"].ravel()[: zeros // 2] = 0
    tensors["classifier/kernel"].ravel()[: zeros - zeros // 2] = 0
    tensors["auxiliary_eighth/kernel"][:] = 0
    return Weights(tiny, tensors, {"miou_strict": 0.5, "licence": "X", "recipe": {"epochs": 1}})


def test_dense_network_has_the_figures_of_the_card():
    facts = model_facts("icnet-camvid-ava-0001")
    assert facts.kernel_weights == 26_675_584
    assert facts.parameters == 26_675_584 + 28_556
    assert facts.gflops == pytest.approx(75.818, rel=0.005)
    assert set(facts.to_dict()) >= {"model", "kernel_zeros", "sparsity", "bytes", "sha256"}


def test_weight_file_is_counted_from_its_values(tiny, tmp_path):
    path = tmp_path / "w.safetensors"
    digest = save_weights(path, with_zeros(tiny, 100))
    facts = model_facts(str(path))
    assert (facts.model, facts.kernel_zeros, facts.sha256) == ("tiny", 100, digest)
    assert facts.sparsity == 100 / facts.kernel_weights
    assert facts.bytes == path.stat().st_size
    assert facts.to_dict()["miou_strict"] == 0.5
    assert facts.to_dict()["licence"] == "X"
    assert "recipe" not in facts.to_dict()


@pytest.mark.parametrize("fp16", [False, True])
@pytest.mark.parametrize("output", ["logits", "index"])
def test_ir_is_counted_from_its_constants(tiny, tmp_path, fp16, output):
    weights = with_zeros(tiny, 77)
    save_weights(tmp_path / "w.safetensors", weights)
    path = tmp_path / "ir.xml"
    ov.save_model(openvino_model(weights, output=output, half=fp16), path, compress_to_fp16=False)
    facts, expected = model_facts(str(path)), model_facts(str(tmp_path / "w.safetensors"))
    assert facts.model == "ir"
    for name in ("parameters", "kernel_weights", "gflops"):
        assert getattr(facts, name) == getattr(expected, name), name
    assert facts.kernel_zeros == 77
    both = path.read_bytes() + path.with_suffix(".bin").read_bytes()
    assert (facts.bytes, facts.sha256) == (len(both), hashlib.sha256(both).hexdigest())


def sparse(tiny, *, dead: bool) -> tuple[Weights, int]:
    """Random weights of which exactly 60 % are zero, with any scales of batch normalisation, and the number of zeros."""
    generator = np.random.default_rng(7)
    tensors = dict(random_weights(tiny, seed=7).tensors)
    names = [f"{conv.name}/kernel" for conv in convolutions(tiny)]
    flat = np.concatenate([tensors[name].ravel() for name in names])
    flat[flat == 0] = 0.5
    zeros = round(0.6 * flat.size)
    flat[generator.permutation(flat.size)[:zeros]] = 0
    for name in names:
        tensors[name], flat = flat[: tensors[name].size].reshape(tensors[name].shape), flat[tensors[name].size :]
    for name, array in tensors.items():
        if name.endswith("/gamma"):
            tensors[name] = generator.uniform(-2, 2, array.shape).astype(np.float32)
            if dead:
                tensors[name][::3] = 0  # channels whose weights are alive, but not their scale
    return Weights(tiny, tensors), zeros


@pytest.mark.parametrize("dead", [False, True])
def test_file_and_irs_hold_exactly_the_same_zeros(tiny, tmp_path, dead):
    weights, zeros = sparse(tiny, dead=dead)
    save_weights(tmp_path / "w.safetensors", weights)
    with safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        assert any(name.endswith(".mask") for name in file.keys()), "the packed form is to be counted"  # noqa: SIM118
    expected = model_facts(str(tmp_path / "w.safetensors"))
    assert expected.kernel_zeros == zeros
    image = np.random.default_rng(1).uniform(0, 255, (1, *tiny.size_hw, 3)).astype(np.float32)
    outputs = []
    for half in (False, True):
        path = tmp_path / f"{half}.xml"
        ov.save_model(openvino_model(weights, output="soft", half=half), path, compress_to_fp16=False)
        facts = model_facts(str(path))
        assert facts.kernel_zeros == zeros
        for found, layer in zip(facts.layers, sorted(expected.layers, key=order(facts)), strict=True):
            assert found == layer
        outputs.append(ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0])
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-4)
    assert np.isfinite(outputs[0]).all()


def order(facts):
    names = [layer.name for layer in facts.layers]
    return lambda layer: names.index(layer.name)


def test_layers_by_hand(monkeypatch):
    compact = model_facts("icnet-camvid-ava-compact-60-0001")
    monkeypatch.setattr("icnet.runtime.facts.SHA256", {})  # as in a version without the dense weights
    dense = model_facts("icnet-camvid-ava-0001")
    assert dense.removed == 0
    assert compact.dense_kernel_weights == dense.kernel_weights == 26_675_584
    assert compact.removed == 1 - 10_589_120 / 26_675_584
    layer = next(layer for layer in compact.layers if layer.name == "fusion1_high")
    # 1x1 at 1/16 of 720x960, 320 to 128 channels; the dense network has 512 to 256.
    assert layer.kernel_shape == (1, 1, 320, 128)
    assert layer.dense_kernel_shape == (1, 1, 512, 256)
    assert layer.kernel_weights == 320 * 128
    assert layer.mflops == pytest.approx(2 * 320 * 128 * 45 * 60 / 1e6)
    assert layer.dense_mflops == pytest.approx(2 * 512 * 256 * 45 * 60 / 1e6)
    for facts in (dense, compact):
        assert sum(layer.kernel_weights for layer in facts.layers) == facts.kernel_weights
        assert sum(layer.mflops for layer in facts.layers) == pytest.approx(1000 * facts.gflops)
        assert sum(layer.dense_mflops for layer in facts.layers) == pytest.approx(1000 * dense.gflops)
    assert sum(layer.kernel_zeros for layer in compact.layers) == compact.kernel_zeros
    assert {layer.kernel_zeros for layer in dense.layers} == {None}


def test_a_layer_that_the_dense_network_lacks(tiny, tmp_path):
    longer = dataclasses.replace(tiny, blocks=(4, 1, 1, 1))
    save_weights(tmp_path / "w.safetensors", random_weights(longer))
    layers = {layer.name: layer for layer in model_facts(str(tmp_path / "w.safetensors")).layers}
    assert layers["stage2_4_3x3"].dense_kernel_shape is layers["stage2_4_3x3"].dense_mflops is None
    assert layers["stage2_3_3x3"].dense_kernel_shape == (3, 3, 64, 64)


def one_convolution(path: Path, size_hw: tuple[int, int], kernel: ov.Node) -> str:
    """Write a network that convolves an image of this project's kind with a 1x1 `kernel`."""
    data = ops.parameter([1, *size_hw, 3], np.float32)
    data.output(0).set_names({"data"})
    image = ops.transpose(data, np.array([0, 3, 1, 2]))
    result = ops.convolution(image, kernel, strides=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], dilations=[1, 1])
    result.output(0).set_names({"logits"})
    ov.save_model(ov.Model([ops.result(result)], [data], "one"), path, compress_to_fp16=False)
    return str(path)


def test_zeros_of_an_int8_kernel_are_found_behind_its_scale(tmp_path):
    kernel = ops.constant(np.arange(-3, 3, dtype=np.int8).reshape(2, 3, 1, 1))
    scaled = ops.multiply(ops.convert(kernel, "f32"), np.float32(0.25))
    facts = model_facts(one_convolution(tmp_path / "int8.xml", (32, 48), scaled))
    assert (facts.kernel_weights, facts.kernel_zeros, facts.parameters) == (6, 1, 8)
    assert facts.gflops == pytest.approx(2 * 6 * 32 * 48 / 1e9)


def test_an_ir_of_another_kind_is_one_line(tmp_path):
    constant = ops.constant(np.ones((2, 3, 1, 1), np.float32))
    with pytest.raises(ModelError, match=r"dynamic\.xml has the inputs data .*: expected one input 'data'"):
        model_facts(one_convolution(tmp_path / "dynamic.xml", (-1, -1), constant))
    # Its input and output are as they should be, but the kernel is made from the image.
    data = ops.parameter([1, 6, 8, 3], np.float32)
    data.output(0).set_names({"data"})
    image = ops.transpose(data, np.array([0, 3, 1, 2]))
    kernel = ops.reduce_mean(image, np.array([2, 3]), keep_dims=True)
    result = ops.convolution(image, kernel, strides=[1, 1], pads_begin=[0, 0], pads_end=[0, 0], dilations=[1, 1])
    result.output(0).set_names({"logits"})
    ov.save_model(ov.Model([ops.result(result)], [data], "computed"), tmp_path / "computed.xml")
    with pytest.raises(ModelError, match="has a convolution that cannot be counted"):
        model_facts(str(tmp_path / "computed.xml"))


def test_unknown_model_is_one_line():
    with pytest.raises(ModelError, match="unknown model 'resnet'"):
        model_facts("resnet")
