import cv2
import numpy as np
import pytest

from icnet.network.keras_layers import GridPool, Resize


@pytest.mark.parametrize(
    ("size_hw", "new_hw"), [((23, 30), (45, 60)), ((45, 60), (23, 30)), ((18, 24), (9, 12)), ((1, 2), (5, 7))]
)
def test_resize_equals_opencv(size_hw, new_hw):
    x = np.random.default_rng(0).normal(size=(*size_hw, 3)).astype(np.float32)
    expected = cv2.resize(x, new_hw[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(np.asarray(Resize(new_hw)(x[None]))[0], expected, atol=1e-5)


def test_grid_pool_averages_cells():
    x = np.random.default_rng(3).normal(size=(1, 6, 9, 1)).astype(np.float32)
    expected = x[0, :, :, 0].reshape(3, 2, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(np.asarray(GridPool(3)(x))[0, :, :, 0], expected, atol=1e-5)
    np.testing.assert_allclose(np.asarray(GridPool(1)(x)).ravel(), x.mean(), atol=1e-5)
