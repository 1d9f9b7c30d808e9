import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.media.stats import Tally
from icnet.runtime.segmenter import Segmentation


def segmentation(*classes: int) -> Segmentation:
    return Segmentation(np.zeros((1, len(classes), 3), np.uint8), np.array([classes], np.uint8), CAMVID)


def test_means_over_the_frames():
    tally = Tally()
    tally.add(segmentation(0, 0, 3, 3), seconds=0.1)
    tally.add(segmentation(0, 3, 3, 3), seconds=0.3)
    assert (tally.frames, tally.size_hw) == (2, (1, 4))
    assert tally.frame_ms == pytest.approx(200)
    assert tally.frames_per_second == pytest.approx(5)
    assert tally.shares["Sky"] == pytest.approx(0.375)
    assert sum(tally.shares.values()) == pytest.approx(1)


def test_nothing_yet():
    assert (Tally().frame_ms, Tally().frames_per_second, sum(Tally().shares.values())) == (0, 0, 0)
