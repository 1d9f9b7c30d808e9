"""Reading in one thread while another works: everything in its order, or only the newest."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar, cast

T = TypeVar("T")

_END = object()


def ahead(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Iterate `items` in a thread of their own, at most `depth` items before the consumer.

    Order and exceptions are those of `items`. Close the iterator (`contextlib.closing`) when leaving early: only then is it
    sure that nobody reads `items` any more. A generator among `items` is closed with it.
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
        if isinstance(iterator, Generator):
            iterator.close()


class Newest(Generic[T]):
    """Iterates `items` in a thread of their own and gives only the newest one: who is slow misses some, and is never late.

    Use it in a `with` statement; at its end the thread has ended too, as soon as `items` has given what it was waiting for
    or has obeyed `stop`.

    Attributes:
        dropped: how many items were missed so far.
    """

    def __init__(self, items: Iterable[T], *, stop: threading.Event | None = None) -> None:
        """Start to read.

        Args:
            items: what to read.
            stop: set when the `with` block is left before the end of `items`, so that they do not wait for one more item.
        """
        self.dropped = 0
        self._stop = stop
        self._items = items
        self._slot: object = _END
        self._error: BaseException | None = None
        self._done = self._unwanted = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="icnet-newest", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Newest[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self._unwanted = True
        if self._stop is not None and not self._done:
            self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        """Yield the newest item each time; the last one of `items` is always given. Errors of `items` come after it."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._slot is not _END or self._done)
                item, self._slot = self._slot, _END
            if item is _END:
                if self._error is not None:
                    raise self._error
                return
            yield cast(T, item)

    def _read(self) -> None:
        try:
            for item in self._items:
                with self._changed:
                    self.dropped += self._slot is not _END
                    self._slot = item
                    self._changed.notify()
                if self._unwanted:
                    return
        except BaseException as error:  # for the thread that iterates
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify()
