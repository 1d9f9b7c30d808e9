"""A few worker threads and a short queue before them: what does not fit is refused at once."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from icnet.serve.errors import Overloaded
from icnet.serve.metrics import Metrics

P = TypeVar("P")
T = TypeVar("T")


_AHEAD = 2
"""Preparations at one time for each worker: so many more can be slow before they keep the workers waiting."""


class Pool:
    """Runs the work of requests off the event loop; all methods belong to the loop's thread."""

    def __init__(self, workers: int, queue: int, metrics: Metrics) -> None:
        self._workers, self._capacity, self._metrics = workers, workers + queue, metrics
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="icnet-serve")
        self.preparations = _AHEAD * workers
        self._preparing = ThreadPoolExecutor(self.preparations, thread_name_prefix="icnet-prepare")
        self._admitted = 0

    def check(self) -> None:
        """Refuse early, before a body is read.

        Raises:
            Overloaded: there is no room.
        """
        if self._admitted >= self._capacity:
            raise Overloaded("the server is busy and its queue is full: try again in a moment")

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in a worker's thread, in the order of the calls.

        Raises:
            Overloaded: there is no room.
        """
        arrived = time.perf_counter()

        def timed() -> T:
            self._metrics.observe("queue", time.perf_counter() - arrived)
            return work()

        return await self._done(self._executor, timed)

    async def run_prepared(self, prepare: Callable[[], P], work: Callable[[P], T]) -> T:
        """Do `work` with what `prepare` gives, which does not need a worker while it is made.

        Raises:
            Overloaded: there is no room.
        """
        arrived = time.perf_counter()

        def both() -> T:
            begun = time.perf_counter()
            prepared = prepare()
            ready = time.perf_counter()

            def timed() -> T:
                self._metrics.observe("queue", begun - arrived + time.perf_counter() - ready)
                return work(prepared)

            return self._executor.submit(timed).result()  # meanwhile nothing else is prepared here and held in memory

        return await self._done(self._preparing, both)

    async def _done(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        self.check()
        self._admitted += 1
        self._show()
        loop = asyncio.get_running_loop()

        def left(_: object) -> None:
            with suppress(RuntimeError):  # the server has ended without waiting for this
                loop.call_soon_threadsafe(self._left)

        future = executor.submit(work)
        future.add_done_callback(left)
        return await asyncio.wrap_future(future)

    def _left(self) -> None:
        """Also counts work whose client is gone: its thread is busy all the same."""
        self._admitted -= 1
        self._show()

    def _show(self) -> None:
        self._metrics.busy.set(min(self._admitted, self._workers))
        self._metrics.queue.set(max(0, self._admitted - self._workers))

    def close(self) -> None:
        """Let the threads go."""
        for executor in (self._preparing, self._executor):
            executor.shutdown(wait=False, cancel_futures=True)
