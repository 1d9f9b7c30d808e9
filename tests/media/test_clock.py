from fractions import Fraction

from icnet.media.clock import Clock

USUAL = Fraction(1, 10)


def times(stamps, *, origin: float = 0, earliest: int = 0) -> list[float]:
    clock = Clock(Fraction(origin), earliest_s=earliest)
    return [float(clock(None if stamp is None else Fraction(stamp), USUAL)) for stamp in stamps]


def test_good_stamps_are_taken_as_they_are():
    assert times([5, 5.5, 5.75, 100, 3000], origin=5) == [0, 0.5, 0.75, 95, 2995]
    assert times([-0.5, 0, 1], earliest=-1) == [-0.5, 0, 1]


def test_a_repeated_stamp_moves_nothing_else():
    assert times([0, 1, 1, 1, 1.25]) == [0, 1, 1 + 1 / 90_000, 1 + 2 / 90_000, 1.25]
    assert times([0, 1, 0.5, 1.25]) == [0, 1, 1 + 1 / 90_000, 1.25]


def test_a_single_damaged_stamp_is_bridged():
    assert times([0, 1, 1e9, 3, 4]) == [0, 1, 1.1, 1.2, 2.2]
    assert times([0, 1, -1e9, 3, 4]) == [0, 1, 1.1, 1.2, 2.2]


def test_a_clock_that_is_set_goes_on_from_there():
    assert times([10, 11, 7200 + 11, 7200 + 12, 7200 + 12.5], origin=10) == [0, 1, 1.1, 2.1, 2.6]
    assert times([10, 11, 0, 1, 2], origin=10) == [0, 1, 1.1, 2.1, 3.1]


def test_the_first_stamp_may_be_damaged_too():
    assert times([1e9, 1e9 + 1]) == [0, 1]
    assert times([-50, -49]) == [0, 1]


def test_without_stamps_frames_have_the_usual_distance():
    assert times([None, None, None]) == [0, 0.1, 0.2]
    assert times([0, 1, None, 2]) == [0, 1, 1.1, 2]
