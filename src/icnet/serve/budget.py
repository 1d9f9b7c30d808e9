"""Accounts of the memory that all requests hold together."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from icnet.serve.errors import Overloaded


class Share:
    """What one request holds."""

    def __init__(self, budget: "Budget") -> None:
        self._budget, self.held_bytes = budget, 0

    def take(self, count_bytes: int) -> None:
        """Hold more.

        Raises:
            Overloaded: all requests together would hold too much.
        """
        self._budget.change(count_bytes)
        self.held_bytes += count_bytes

    def give(self, count_bytes: int) -> None:
        """Hold less."""
        self._budget.change(-count_bytes)
        self.held_bytes -= count_bytes


class Budget:
    """Counts bytes against a limit; all methods belong to the event loop's thread."""

    def __init__(self, limit_bytes: int, gauge: Gauge, *, of: str) -> None:
        """Allow so many bytes; `gauge` shows how many are held, and `of` says of what, in refusals."""
        self._limit_bytes, self._gauge, self._of = limit_bytes, gauge, of
        self.held_bytes = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """For one request; whatever it holds at the end is free again."""
        share = Share(self)
        try:
            yield share
        finally:
            share.give(share.held_bytes)

    def change(self, count_bytes: int) -> None:
        """Add to what is held, or take from it if below 0.

        Raises:
            Overloaded: it would be too much, and something is held already; nothing is changed.
        """
        if count_bytes > 0 and self.held_bytes and self.held_bytes + count_bytes > self._limit_bytes:
            raise Overloaded(f"{self._of} fill the memory that is set aside for them: try again in a moment")
        self.held_bytes += count_bytes
        self._gauge.set(self.held_bytes)
