import numpy as np
import pytest

from flicker import flicker
from icnet.base.errors import DataError


def frame(truth: list[int], classes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([truth], np.uint8), np.array([classes], np.uint8)


def test_known_answer():
    result = flicker(
        [
            frame([3, 3, 3, 8, 11, 0], [3, 3, 5, 8, 0, 0]),
            frame([3, 3, 8, 8, 11, 0], [3, 5, 8, 9, 1, 0]),  # road 1 of 2, vehicle 1 of 1, sky 0 of 1; one moved, one void
            frame([3, 3, 8, 8, 3, 0], [3, 5, 8, 8, 3, 0]),  # road 0 of 2, vehicle 1 of 2, sky 0 of 1; one void before
        ]
    )
    assert result.pixels.tolist() == [2, 0, 0, 4, 0, 0, 0, 0, 3, 0, 0]
    assert result.changed.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0]
    assert result.share == 3 / 9
    assert result.shares() == {"Sky": 0, "Road": 1 / 4, "Vehicle": 2 / 3}


def test_wrong_but_steady_is_no_flicker():
    assert flicker([frame([3, 4], [5, 11])] * 3).share == 0


def test_a_change_to_unlabelled_is_one():
    assert flicker([frame([3], [3]), frame([3], [11])]).share == 1


def test_no_pixel_to_judge_gives_no_figure():
    assert np.isnan(flicker([frame([3, 11], [3, 3]), frame([8, 11], [8, 8])]).share)


def test_reads_frames_one_by_one():
    assert flicker(frame([3], [number % 2]) for number in range(3)).changed.sum() == 2


@pytest.mark.parametrize("frames", [[], [frame([3], [3])]])
def test_refuses_less_than_two_frames(frames):
    with pytest.raises(DataError, match="at least two"):
        flicker(frames)


def test_refuses_frames_of_different_sizes():
    with pytest.raises(DataError, match="one size"):
        flicker([frame([3], [3]), frame([3, 3], [3, 3])])
