from itertools import pairwise

import numpy as np
import pytest

from icnet.evaluation.calibration import BINS, Calibration


def counted(*parts: tuple[int, int, int]) -> Calibration:
    """Of parts: confidence in 255ths, pixels, right ones."""
    found = Calibration()
    for level, pixels, right in parts:
        found.add(np.full(pixels, level, np.uint8), np.arange(pixels) < right)
    return found


def test_by_hand():
    # 80 % sure and right in half of 30 pixels; 40 % sure and right in 4 of 10: (30 * 0.3 + 10 * 0) / 40.
    diagram = counted((204, 30, 15), (102, 10, 4)).reliability()
    assert diagram.error == pytest.approx(30 * 0.3 / 40)
    assert diagram.pixels.sum() == 40
    assert diagram.pixels[11] == 30  # from 11/15 to 12/15, the upper end in it
    assert (diagram.confidence[11], diagram.accuracy[11]) == pytest.approx((0.8, 0.5))
    assert np.isnan(diagram.accuracy[0])


def test_it_equals_the_papers_sum_over_pixels():
    generator = np.random.default_rng(0)
    levels = generator.integers(0, 256, 5000).astype(np.uint8)
    right = generator.random(5000) < (levels / 255) ** 2
    found = Calibration()
    for part in np.array_split(np.arange(5000), 7):
        found.add(levels[part], right[part])
    expected, edges = 0.0, np.arange(BINS + 1) / BINS
    for low, high in pairwise(edges):
        inside = (levels / 255 > low) & (levels / 255 <= high + 1e-12)
        inside |= (levels == 0) & (low == 0)
        expected += abs(right[inside].mean() - (levels[inside] / 255).mean()) * inside.mean()
    assert found.reliability().error == pytest.approx(expected)
    assert found.reliability().error > 0.1


def test_a_calibrated_network_has_no_error_and_none_without_pixels():
    assert counted((51, 100, 20), (255, 7, 7), (0, 5, 0)).reliability().error == pytest.approx(0)
    assert np.isnan(Calibration().reliability().error)
