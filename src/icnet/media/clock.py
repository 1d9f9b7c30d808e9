"""Times from time stamps that may be repeated, set anew midway, or damaged."""

from fractions import Fraction

_TICK_S = Fraction(1, 90_000)
_SHORT_S = 1
"""A stamp that is behind the one before by less comes one tick after it, and the next one is taken as it is."""

_LONGEST_S = 3600
"""Between two stamps; behind a longer gap, or a longer way back, the clock was set, and goes on from there."""


class Clock:
    """Times of one track, in seconds after the beginning of its file; they always grow."""

    def __init__(self, origin_s: Fraction, *, earliest_s: int = 0) -> None:
        """Begin.

        Args:
            origin_s: the zero of our times by the clock of the file.
            earliest_s: the first time that is believed; a codec may begin before its first sound.
        """
        self._shift = -origin_s
        self._earliest = earliest_s
        self._last: Fraction | None = None

    def __call__(self, stamp_s: Fraction | None, usual_s: Fraction) -> Fraction:
        """Give the time of the next frame or piece of sound.

        Args:
            stamp_s: what the file says, None if nothing.
            usual_s: time since the one before, where the file cannot be believed.
        """
        last = self._last
        if stamp_s is not None:
            time = stamp_s + self._shift
        else:
            time = Fraction(0) if last is None else last + usual_s
        if last is None:
            expected = time if self._earliest <= time <= _LONGEST_S else Fraction(0)
        elif last < time <= last + _LONGEST_S:
            expected = time
        elif last - _SHORT_S < time <= last:
            expected = time = last + _TICK_S
        else:
            expected = last + usual_s
        self._shift += expected - time
        self._last = expected
        return expected
