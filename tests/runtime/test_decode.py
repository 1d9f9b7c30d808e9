import cv2
import numpy as np
import pytest

from icnet.runtime.decode import decode


@pytest.mark.parametrize("size_hw", [(16, 24), (64, 96), (61, 97), (9, 13)])
@pytest.mark.parametrize("output", ["logits", "soft"])
def test_equals_argmax_of_the_resized_scores(size_hw, output):
    raw = np.random.default_rng(0).standard_normal((1, 12, 16, 24)).astype(np.float32)
    before = raw.copy()
    full = np.stack([cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_LINEAR) for plane in raw[0]])
    classes = decode(raw, output, size_hw)
    assert classes.dtype == np.uint8
    assert np.array_equal(classes, full.argmax(axis=0))
    assert np.array_equal(raw, before)


def test_places_a_boundary_between_pixel_centres():
    # Two classes on two columns, 0:10 against 30:0. Widened to eight, the columns lie at -0.375, -0.125, ... 1.375 of the
    # source, clipped to its centres; the scores cross at 10/40 = 0.25, between the third (0.125) and the fourth (0.375) column.
    raw = np.full((1, 12, 1, 2), -100, np.float32)
    raw[0, 3, 0], raw[0, 5, 0] = (10, 0), (0, 30)
    assert decode(raw, "logits", (1, 8)).tolist() == [[3, 3, 3, 5, 5, 5, 5, 5]]


def test_lowest_of_equal_scores_wins():
    assert not decode(np.zeros((1, 12, 4, 4), np.float32), "soft", (8, 8)).any()


def test_index_maps_are_never_interpolated():
    raw = np.array([[[0, 11], [11, 0]]], np.int32)
    assert decode(raw, "index", (2, 2)).tolist() == raw[0].tolist()
    assert decode(raw, "index", (4, 4)).tolist() == np.kron(raw[0], np.ones((2, 2), int)).tolist()
    assert decode(raw, "index", (4, 4)).dtype == np.uint8
