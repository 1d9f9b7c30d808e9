"""Standard error, which our one-line messages share with what C libraries print."""

import contextlib
import os
import threading
from collections.abc import Iterator

LOCK = threading.Lock()
"""Held while standard error leads nowhere: who writes a message there takes it first."""


@contextlib.contextmanager
def native_messages_dropped() -> Iterator[None]:
    """Drop what C libraries print on standard error: our one line says the same, with the file's name."""
    with LOCK:
        try:
            saved = os.dup(2)
        except OSError:  # there is no standard error to keep clean
            yield
            return
        try:
            with open(os.devnull, "wb") as sink:
                os.dup2(sink.fileno(), 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
