import cv2
import numpy as np
import pytest

from icnet.network.resample import bilinear_matrix, pooling_matrix


def test_pooling_by_hand():
    # 5 cells to 2 bins: cells 0-2 and 2-4; the middle cell belongs to both.
    np.testing.assert_allclose(pooling_matrix(5, 2), [[1 / 3, 1 / 3, 1 / 3, 0, 0], [0, 0, 1 / 3, 1 / 3, 1 / 3]])


def test_pooling_to_more_bins_than_cells_repeats():
    np.testing.assert_allclose(pooling_matrix(2, 4), [[1, 0], [1, 0], [0, 1], [0, 1]])


@pytest.mark.parametrize(("size", "new_size"), [(6, 23), (1, 30), (45, 23), (23, 45), (3, 3)])
def test_bilinear_equals_opencv(size, new_size):
    signal = np.random.default_rng(0).uniform(size=(size, 1))
    expected = cv2.resize(signal, (1, new_size), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(bilinear_matrix(size, new_size) @ signal, expected.reshape(-1, 1), atol=1e-6)


@pytest.mark.parametrize("matrix", [pooling_matrix(23, 6), bilinear_matrix(6, 23), bilinear_matrix(1, 5)])
def test_rows_are_averages(matrix):
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert (matrix >= 0).all()
