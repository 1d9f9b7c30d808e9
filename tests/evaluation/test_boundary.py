import cv2
import numpy as np
import pytest

from icnet.base.classes import CAMVID, OUTSIDE, Classes
from icnet.evaluation.boundary import RATIO, BoundaryIou, band

TABLE = Classes(("road", "sky"))


def halves(column: int) -> np.ndarray:
    """120x160, diagonal 200 and so a band of 1: road, and sky from a column on."""
    labels = np.zeros((120, 160), np.uint8)
    labels[:, column:] = 1
    return labels


def iou(truth: np.ndarray, predicted: np.ndarray, classes: Classes = TABLE) -> np.ndarray:
    found = BoundaryIou(classes)
    found.add(truth, predicted)
    return found.iou()


def test_the_band_is_mask_less_erosion_of_every_class():
    labels = cv2.resize(np.random.default_rng(0).integers(0, 9, (9, 12)).astype(np.uint8), (96, 72), interpolation=0)
    for width in (1, 3):
        expected = np.zeros(labels.shape, bool)
        for value in range(9):
            mask = cv2.copyMakeBorder((labels == value).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            expected |= (mask - cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=width))[1:-1, 1:-1] > 0
        np.testing.assert_array_equal(band(labels, width), expected)


def test_by_hand():
    assert round(RATIO * 200) == 1
    # The edge of road has 2 x 80 + 2 x 118 pixels, that of sky too. Found one column later road gains 2 and sky loses 2.
    truth, found = halves(80), halves(81)
    edge, tall = 2 * 80 + 2 * 118, 118
    road = (edge - tall) / (edge + 2 + tall)  # hits: all of the edge but its inner column; found: 2 more
    sky = (edge - 2 - tall) / (edge + tall)
    np.testing.assert_allclose(iou(truth, found), [road, sky])
    np.testing.assert_array_equal(iou(truth, truth), [1, 1])


def test_it_sees_an_outline_that_iou_does_not():
    truth, found = halves(80), halves(84)
    assert 80 / 84 > 0.95 > 0.7 > iou(truth, found)[0]


def test_pixels_without_a_label_are_left_out_and_their_border_is_nobodys_fault():
    truth = halves(80)
    truth[:, 100:] = OUTSIDE
    np.testing.assert_array_equal(iou(truth, halves(80)), [1, 1])
    truth[:, 100:] = CAMVID.void
    found = iou(truth, halves(80), CAMVID)
    np.testing.assert_array_equal(found[:2], [1, 1])
    assert np.isnan(found[2:]).all()
    assert found.shape == (11,)


def test_pictures_are_summed_before_the_ratio():
    both = BoundaryIou(TABLE)
    both.add(halves(80), halves(80))
    both.add(halves(80), np.zeros((120, 160), np.uint8))
    edge = 2 * 80 + 2 * 118
    assert both.iou()[1] == pytest.approx(edge / (2 * edge))
