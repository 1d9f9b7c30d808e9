import numpy as np

from icnet.base.classes import OUTSIDE
from icnet.data.cells import class_counts


def test_every_pixel_is_counted_in_its_cell_and_none_outside_of_the_picture():
    labels = np.random.default_rng(0).choice([*range(12), OUTSIDE], (2, 8, 12)).astype(np.uint8)
    counts = class_counts(labels, 12)
    assert (counts.shape, counts.dtype) == ((2, 2, 3, 12), np.uint8)
    for index in np.ndindex(2, 2, 3):
        image, row, column = index
        cell = labels[image, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        assert counts[index].tolist() == [(cell == value).sum() for value in range(12)]
