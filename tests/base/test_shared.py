import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from icnet.base.shared import Shared


class Counted:
    """A state that notes how often it was entered and left."""

    def __init__(self) -> None:
        self.entered = self.left = 0
        self.fails = False

    @contextmanager
    def state(self) -> Iterator[None]:
        if self.fails:
            raise OSError("there is none")
        self.entered += 1
        try:
            yield
        finally:
            self.left += 1


def test_the_first_enters_and_the_last_leaves():
    counted = Counted()
    shared = Shared(counted.state)
    with shared():
        with shared():
            assert (counted.entered, counted.left) == (1, 0)
        assert (counted.entered, counted.left) == (1, 0)
    assert (counted.entered, counted.left) == (1, 1)
    with shared():
        assert (counted.entered, counted.left) == (2, 1)
    assert counted.left == 2


def test_threads_are_in_it_side_by_side():
    counted, together = Counted(), threading.Barrier(3)
    shared = Shared(counted.state)

    def work() -> None:
        with shared():
            together.wait(timeout=5)  # would not come back if one waited for another
            assert counted.entered > counted.left

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work) for _ in range(3)]:
            done.result()
    assert (counted.entered, counted.left) == (1, 1)


def test_errors_leave_it_too_and_what_cannot_be_entered_is_not_left():
    counted = Counted()
    shared = Shared(counted.state)
    with pytest.raises(ZeroDivisionError), shared():
        raise ZeroDivisionError
    assert (counted.entered, counted.left) == (1, 1)
    counted.fails = True
    with pytest.raises(OSError, match="there is none"), shared():
        pass
    counted.fails = False
    with shared():
        assert (counted.entered, counted.left) == (2, 1)
    assert counted.left == 2
