"""States of the process, such as the settings of a library, that several threads need at the same time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager


class Shared:
    """A state that several threads may be in: the first one enters it, the last one leaves it, and none waits for another."""

    def __init__(self, state: Callable[[], AbstractContextManager[object]]) -> None:
        """Name the state.

        Args:
            state: gives what enters and leaves it, which must take no time; threads may differ in which of the two they do.
        """
        self._state, self._inside = state, 0
        self._lock, self._undo = threading.Lock(), ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Within the block the process is in the state."""
        with self._lock:
            if not self._inside:
                self._undo.enter_context(self._state())
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._undo.close()
