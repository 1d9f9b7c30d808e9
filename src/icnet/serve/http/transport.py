"""The way to one client: when closing is left to the connection, and how long a client may take to read."""

import asyncio
from collections.abc import Callable
from typing import Any

_LEAST_BYTES_PER_SECOND = 64 << 10
"""Slower clients use up the time that they have besides."""


class Transport(asyncio.Transport):
    """What uvicorn sees of a transport."""

    def __init__(self, inner: asyncio.Transport, raw: asyncio.Transport, close: Callable[[], None]) -> None:
        """Write to `inner`, which is `raw` or encrypts what goes there; `close` is called once when uvicorn closes."""
        super().__init__()
        self.inner, self._raw, self._close, self.closing = inner, raw, close, False

    @property
    def left_bytes(self) -> int:
        """Written and not yet taken by the system."""
        left_bytes = self.inner.get_write_buffer_size()
        return left_bytes if self.inner is self._raw else left_bytes + self._raw.get_write_buffer_size()

    def close(self) -> None:
        if not self.is_closing():
            self.closing = True
            self._close()

    def is_closing(self) -> bool:
        return self.closing or self.inner.is_closing()

    def write(self, data: Any) -> None:
        self.inner.write(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self.inner.pause_reading()

    def resume_reading(self) -> None:
        self.inner.resume_reading()


class Patience:
    """How long a client may let a response wait: some seconds in all, and more with every byte that it takes."""

    def __init__(self, seconds: float) -> None:
        self._most_seconds = self.left_seconds = seconds
        self._last: tuple[float, int] | None = None

    def renew(self) -> None:
        """Another response begins."""
        self.left_seconds = self._most_seconds

    def wait(self, now: float, left_bytes: int) -> float:
        """Count the time since the last call, if waiting goes on since then.

        Args:
            now: seconds of the event loop.
            left_bytes: what the client has still to take.

        Returns:
            The seconds that are left.
        """
        if self._last is not None:
            then, before_bytes = self._last
            self.left_seconds += max(0, before_bytes - left_bytes) / _LEAST_BYTES_PER_SECOND - (now - then)
            self.left_seconds = min(self.left_seconds, self._most_seconds)
        self._last = now, left_bytes
        return self.left_seconds

    def end(self, now: float, left_bytes: int) -> None:
        """The client need not be waited for now."""
        self.wait(now, left_bytes)
        self._last = None
