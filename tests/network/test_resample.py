import numpy as np
import pytest

from icnet.network.resample import pooling_matrix


def test_pooling_by_hand():
    # 5 cells to 2 bins: cells 0-2 and 2-4; the middle cell belongs to both.
    np.testing.assert_allclose(pooling_matrix(5, 2), [[1 / 3, 1 / 3, 1 / 3, 0, 0], [0, 0, 1 / 3, 1 / 3, 1 / 3]])


def test_pooling_to_more_bins_than_cells_repeats():
    np.testing.assert_allclose(pooling_matrix(2, 4), [[1, 0], [1, 0], [0, 1], [0, 1]])


@pytest.mark.parametrize("matrix", [pooling_matrix(23, 6), pooling_matrix(3, 6)])
def test_rows_are_averages(matrix):
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert (matrix >= 0).all()
