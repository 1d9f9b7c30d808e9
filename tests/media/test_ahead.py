import threading
import time
from contextlib import closing

import pytest

from icnet.media.ahead import Newest, ahead


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


def test_closing_closes_the_generator_behind():
    closed = threading.Event()

    def items():
        try:
            yield from range(100)
        finally:
            closed.set()

    generator = items()  # held here, so that only closing ends it
    with closing(ahead(generator)) as numbers:
        next(numbers)
    assert closed.is_set()


def test_a_slow_consumer_gets_only_the_newest():
    more, taken = threading.Semaphore(0), threading.Event()

    def camera():
        for number in range(10):
            more.acquire()
            yield number
            if number == 6:
                taken.set()

    with Newest(camera()) as newest:
        frames = iter(newest)
        more.release()
        assert next(frames) == 0
        more.release(7)  # 1 to 7 come while the consumer is busy
        assert taken.wait(5)
        while newest.dropped < 6:  # the thread has taken 7 when it has dropped 6
            time.sleep(0.001)
        assert next(frames) == 7
        assert newest.dropped == 6
        more.release(2)
        rest = list(frames)
    assert rest[-1] == 9, "the last frame is always given"
    assert 1 + 1 + len(rest) + newest.dropped == 10, "every frame is given or counted"


def test_newest_passes_errors_on_after_the_last_frame():
    def camera():
        yield 1
        raise KeyError("unplugged")

    with Newest(camera()) as newest:
        frames = iter(newest)
        assert next(frames) == 1
        with pytest.raises(KeyError, match="unplugged"):
            next(frames)


def test_leaving_newest_early_ends_its_thread():
    def camera():
        while True:
            time.sleep(0.001)
            yield 0

    before = threading.active_count()
    with Newest(camera()) as newest:
        next(iter(newest))
    assert threading.active_count() == before


def test_leaving_newest_stops_what_waits_for_an_item():
    stop = threading.Event()

    def camera():
        yield 0
        stop.wait(60)

    before = threading.active_count()
    start = time.monotonic()
    with pytest.raises(KeyError, match="mine"), Newest(camera(), stop=stop) as newest:  # noqa: PT012
        next(iter(newest))
        raise KeyError("mine")
    assert time.monotonic() - start < 5
    assert threading.active_count() == before
