"""When a run no longer gets better: told in words, and stopped if that was asked for."""

from collections.abc import Callable

PLATEAU = 4
"""Validations without a new best after which a run that goes on is told about."""


class Patience:
    """Counts validations since the best one; those of earlier parts of a resumed run do not count."""

    def __init__(self, limit: int | None = None, tell: Callable[[str], None] = lambda text: None) -> None:
        """Stop after `limit` validations in a row without a new best, never if not given; `tell` takes the words."""
        self._limit, self._tell = limit, tell
        self._since = 0

    @property
    def exhausted(self) -> bool:
        """Whether the run is to stop."""
        return self._limit is not None and self._since >= self._limit

    def saw(self, miou: float, *, best: float, better: bool) -> None:
        """A validation was done.

        Args:
            miou: its strict mIoU.
            best: the best one so far, itself included.
            better: whether it is the best one.
        """
        self._since = 0 if better else self._since + 1
        figures = f"{self._since} validations in a row were no better than {100 * best:.2f} % (now {100 * miou:.2f} %)"
        if self.exhausted:
            self._tell(f"stopping: {figures}; best.safetensors has the best weights")
        elif self._since == PLATEAU:
            self._tell(
                f"{figures}: the falling learning rate of the last part may still help; if it does not, look for wrong labels "
                "and for classes with few pictures in the report, and stop the next run earlier with --patience"
            )
