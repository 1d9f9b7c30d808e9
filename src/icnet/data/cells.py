"""Labels as training sees them: how many pixels of each class a cell of the network's output covers."""

import numpy as np

from icnet.network.spec import OUTPUT_STRIDE as CELL


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of each class in every 4x4 cell: (N, H, W) uint8 class indices, multiples of 4, to (N, H/4, W/4, classes) uint8.

    Cross-entropy against these counts is the mean cross-entropy over all pixels of the cell, so thin objects count although the
    logits are small. Pixels above the last class, such as `OUTSIDE`, count nowhere.
    """
    images, height, width = labels.shape
    rows, columns = height // CELL, width // CELL
    cells = np.arange(images * rows * columns, dtype=np.int32).reshape(images, rows, 1, columns, 1)
    place = cells * (classes + 1) + np.minimum(labels, classes).reshape(images, rows, CELL, columns, CELL)
    counts = np.bincount(place.ravel(), minlength=images * rows * columns * (classes + 1))
    return counts.reshape(images, rows, columns, classes + 1)[..., :classes].astype(np.uint8)
