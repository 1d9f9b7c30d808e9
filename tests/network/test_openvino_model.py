import dataclasses

import cv2
import numpy as np
import openvino as ov
import pytest
from engines import in_openvino, noise, uneven_weights
from tiny_network import NARROW

from icnet.base.errors import UsageError
from icnet.network.openvino_model import OUTPUTS, openvino_model
from icnet.network.spec import DENSE
from icnet.network.weights import Weights, expected_shapes

SPEC = dataclasses.replace(NARROW, blocks=(2, 2, 2, 1))


@pytest.fixture(scope="module")
def weights() -> Weights:
    return uneven_weights(SPEC)


# 80x112 has an odd 5x7 middle map (5 -> 3 rows at 1/32, smaller than the pyramid's 6 bins), 64x96 an even one;
# 176x240 has 11x15, larger than 6 bins but not a multiple of them.
@pytest.mark.parametrize("convolve_low", [False, True])
@pytest.mark.parametrize("size_hw", [(80, 112), (64, 96), (176, 240)])
def test_logits_equal_keras(weights, size_hw, convolve_low):
    pytest.importorskip("keras")
    from icnet.network.keras_model import build
    from icnet.network.keras_weights import set_weights

    weights = dataclasses.replace(weights, spec=dataclasses.replace(SPEC, convolve_low=convolve_low))
    keras_model = build(weights.spec, size_hw)
    set_weights(keras_model, weights)
    expected = keras_model.predict_on_batch(noise(size_hw)).transpose(0, 3, 1, 2)
    found = in_openvino(openvino_model(weights, size_hw=size_hw), noise(size_hw))
    assert expected.std() > 1, "the comparison needs logits that differ"
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-5)


def test_outputs_agree(weights):
    data = noise(SPEC.size_hw)
    logits, index, soft = (in_openvino(openvino_model(weights, output=output), data) for output in OUTPUTS)
    height, width = SPEC.size_hw
    assert logits.shape == (1, 12, height // 4, width // 4)
    assert index.shape == (1, height, width)
    assert np.issubdtype(index.dtype, np.integer)
    assert soft.shape == (1, 12, height, width)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)
    assert len(np.unique(index)) > 3, "the comparison needs several classes"
    resized = np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in logits[0]])
    # A pixel may fall either way where two classes are equal to the last bit.
    assert (soft.argmax(axis=1) != index).mean() < 1e-3
    assert (resized.argmax(axis=0) != index[0]).mean() < 1e-3


@pytest.mark.parametrize("output", OUTPUTS)
def test_one_input_and_one_named_output(weights, output):
    model = openvino_model(weights, output=output)
    (source,), (result,) = model.inputs, model.outputs
    assert source.names == {"data"}
    assert list(source.shape) == [1, *SPEC.size_hw, 3]
    assert source.element_type == ov.Type.f32
    assert source.node.layout == ov.Layout("NHWC")
    assert result.names == {output}


def test_dense_network_has_the_published_kernel_weights():
    zeros = Weights(DENSE, {name: np.zeros(shape, np.float32) for name, shape in expected_shapes(DENSE).items()})
    convolutions = [node for node in openvino_model(zeros).get_ops() if node.get_type_name() == "Convolution"]
    sizes = {node.friendly_name: int(np.prod(node.input_value(1).shape)) for node in convolutions}
    assert sum(sizes.values()) == 26_675_584
    assert {f"{name}/kernel" for name in sizes} == {name for name in expected_shapes(DENSE) if name.endswith("/kernel")}


def test_refuses_a_size_that_does_not_fit(weights):
    with pytest.raises(UsageError, match="80x112"):
        openvino_model(weights, size_hw=(90, 112))


def test_half_precision_loses_nothing_of_kernels_that_are_stored_in_half(weights):
    tensors = {name: array.astype(np.float16).astype(np.float32) for name, array in weights.tensors.items()}
    stored = Weights(SPEC, tensors)
    half, full = openvino_model(stored, half=True), openvino_model(stored)
    kernels = [node for node in half.get_ordered_ops() if node.get_friendly_name().endswith("/kernel")]
    assert kernels
    assert all(node.get_element_type() == ov.Type.f16 for node in kernels)
    expected = in_openvino(full, noise(SPEC.size_hw))
    assert expected.std() > 1
    np.testing.assert_allclose(in_openvino(half, noise(SPEC.size_hw)), expected, atol=1e-3, rtol=1e-5)


def test_convolving_low_changes_the_border_only(weights):
    """The two commute on maps whose sizes are doubled exactly, away from the border; the network's own maps reach further."""
    size_hw = (256, 256)
    usual, low = (
        in_openvino(
            openvino_model(Weights(dataclasses.replace(SPEC, convolve_low=flag), weights.tensors), size_hw=size_hw), flat(size_hw)
        )
        for flag in (False, True)
    )
    inside = (slice(None), slice(None), slice(24, -24), slice(24, -24))
    assert np.abs(usual - low)[inside].max() < 1e-3 < np.abs(usual - low).max()


def flat(size_hw: tuple[int, int]) -> np.ndarray:
    """A plain picture: what differs then comes from the border."""
    return np.full((1, *size_hw, 3), 90, np.float32)
