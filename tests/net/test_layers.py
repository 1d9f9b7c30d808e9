import cv2
import numpy as np
import pytest

from icnet.net.layers import PyramidLevel, Resize


@pytest.mark.parametrize(
    ("size_hw", "new_hw"), [((23, 30), (45, 60)), ((45, 60), (23, 30)), ((18, 24), (9, 12)), ((1, 2), (5, 7))]
)
def test_resize_equals_opencv(size_hw, new_hw):
    x = np.random.default_rng(0).normal(size=(*size_hw, 3)).astype(np.float32)
    expected = cv2.resize(x, new_hw[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(np.asarray(Resize(new_hw)(x[None]))[0], expected, atol=1e-5)


def test_pyramid_level_of_one_bin_is_the_mean():
    x = np.random.default_rng(2).normal(size=(1, 5, 7, 4)).astype(np.float32)
    expected = np.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape)
    np.testing.assert_allclose(np.asarray(PyramidLevel(1)(x)), expected, atol=1e-5)


def test_pyramid_level_pools_then_resizes():
    x = np.random.default_rng(3).normal(size=(1, 6, 9, 1)).astype(np.float32)
    pooled = x[0, :, :, 0].reshape(3, 2, 3, 3).mean(axis=(1, 3))
    expected = cv2.resize(pooled, (9, 6), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(np.asarray(PyramidLevel(3)(x))[0, :, :, 0], expected, atol=1e-5)
