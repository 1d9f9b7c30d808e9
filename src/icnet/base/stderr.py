"""Standard error, which our one-line messages share with what C libraries print."""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from icnet.base.shared import Shared


class _Silence:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nowhere_seen: tuple[int, int] | None = None
        """Descriptors: where standard error leads meanwhile, and where it leads otherwise."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        try:
            seen = open(os.dup(2), "wb")  # noqa: SIM115 - closed below
        except OSError:  # there is no standard error to keep clean
            yield
            return
        with seen, open(os.devnull, "wb") as nowhere:
            with self._lock:
                self._nowhere_seen = nowhere.fileno(), seen.fileno()
                os.dup2(nowhere.fileno(), 2)
            try:
                yield
            finally:
                with self._lock:
                    os.dup2(seen.fileno(), 2)
                    self._nowhere_seen = None

    @contextmanager
    def broken(self) -> Iterator[None]:
        with self._lock:
            if self._nowhere_seen is None:
                yield
                return
            nowhere, seen = self._nowhere_seen
            os.dup2(seen, 2)
            try:
                yield
            finally:
                os.dup2(nowhere, 2)


_SILENCE = _Silence()

native_messages_dropped = Shared(_SILENCE.kept)
"""`with native_messages_dropped():` drops what C libraries print on standard error: our one line says the same, with the file's
name. It takes effect for the whole process, and several threads may be in such blocks."""


def messages_seen() -> AbstractContextManager[None]:
    """Within the block what is written to standard error, and flushed, is seen, whoever drops messages meanwhile.

    The block must be short: a library's message that comes just then is seen as well.
    """
    return _SILENCE.broken()
