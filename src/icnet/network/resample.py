"""Pooling along one axis as a small matrix, and the padding of convolutions: exact, and the same on every engine."""

import numpy as np


def halved(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Height and width after a stride of 2 with "same" padding."""
    return -(-size_hw[0] // 2), -(-size_hw[1] // 2)


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """TensorFlow's "same" padding of one axis, before and behind; the odd row or column goes to the end."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def pooling_matrix(size: int, bins: int) -> np.ndarray:
    """Adaptive average pooling from `size` cells to `bins`: (bins, size) float64, every row of which sums to 1.

    Bin i averages cells floor(i * size / bins) to ceil((i + 1) * size / bins) - 1, as PyTorch and OpenVINO define it.
    """
    matrix = np.zeros((bins, size))
    for row in range(bins):
        start, stop = row * size // bins, -(-(row + 1) * size // bins)
        matrix[row, start:stop] = 1 / (stop - start)
    return matrix


def pooling_cells(size_hw: tuple[int, int], bins: int) -> np.ndarray:
    """The same of both axes at once: (H * W, bins * bins) float32, for a flattened map from the left."""
    rows, columns = (pooling_matrix(side, bins).T for side in size_hw)
    return np.kron(rows, columns).astype(np.float32)
