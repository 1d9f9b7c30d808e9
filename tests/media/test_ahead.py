import threading
import time
from contextlib import closing

import pytest

from icnet.media.ahead import ahead


def test_order_and_end():
    assert list(ahead(iter(range(20)), depth=3)) == list(range(20))
    assert list(ahead(iter([]))) == []


def test_reads_in_another_thread_but_not_too_far():
    read, threads = [], set()

    def items():
        for number in range(100):
            read.append(number)
            threads.add(threading.get_ident())
            yield number

    with closing(ahead(items(), depth=3)) as numbers:
        assert next(numbers) == 0
        time.sleep(0.1)
        assert len(read) <= 4
    assert threads.isdisjoint({threading.get_ident()})


def test_nobody_reads_after_closing():
    read = []

    def items():
        for number in range(100):
            time.sleep(0.02)
            read.append(number)
            yield number

    numbers = ahead(items())
    next(numbers)
    numbers.close()
    at_close = len(read)
    time.sleep(0.2)
    assert len(read) == at_close <= 3  # the first, and at most two that were already begun


def test_exceptions_arrive_in_their_turn():
    def items():
        yield 1
        raise KeyError("broken")

    numbers = ahead(items())
    assert next(numbers) == 1
    with pytest.raises(KeyError, match="broken"):
        next(numbers)
