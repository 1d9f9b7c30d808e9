"""Reading in one thread while another works."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")

_END = object()


def ahead(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Iterate `items` in a thread of their own, at most `depth` items before the consumer.

    Order and exceptions are those of `items`. Close the iterator (`contextlib.closing`) when leaving early: only then is it
    sure that nobody reads `items` any more.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(1)  # one thread, so that the futures finish in order
    try:
        waiting = deque(pool.submit(next, iterator, _END) for _ in range(depth))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, iterator, _END))
            yield cast(T, item)
    finally:
        pool.shutdown(cancel_futures=True)
