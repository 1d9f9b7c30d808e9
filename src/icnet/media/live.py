"""Frames of cameras and network streams, which drop and stall: noticed, told and connected again, until told to stop."""

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from icnet.base.errors import InputError
from icnet.media import connections
from icnet.media.clips import Clip, Frame
from icnet.media.connections import Connect, Connection

_PAUSES_S = (0.5, 2.0)
"""First and longest pause before the next try; it doubles as long as connections fail at once."""

_TICK_S = 0.1
"""How often someone who waits looks whether he still should."""

_GRACE_S = 1.5
"""How long the end waits for a thread inside a driver or a network call."""

_USUAL_RATE = Fraction(30)
"""Frames per second of a source that does not know its own."""


class _Reader:
    """One connection, opened, read and closed in a thread of its own, because any of that may block.

    Attributes:
        connection: what was opened, and `opened_s` when; None before. `started_s` is when it began.
        ended: nothing more comes, and the connection is closed; `reason` tells why, `error` is a fault of ours.
    """

    def __init__(self, connect: Connect) -> None:
        self.connection: Connection | None = None
        self.started_s = time.monotonic()
        self.opened_s: float | None = None
        self.ended = False
        self.reason = ""
        self.error: BaseException | None = None
        self._connect = connect
        self._slot: tuple[np.ndarray, float] | None = None
        self._unwanted = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="icnet-live", daemon=True)
        self._thread.start()

    def opened(self, timeout_s: float) -> bool:
        """Wait for the connection; true when it is open or failed."""
        with self._changed:
            return self._changed.wait_for(lambda: self.connection is not None or self.ended, timeout_s)

    def take(self, timeout_s: float) -> tuple[np.ndarray, float] | None:
        """The next picture and the monotonic time at which it came, None if there is none within the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._slot is not None or self.ended, timeout_s)
            taken, self._slot = self._slot, None
            self._changed.notify_all()
            return taken

    def close(self, timeout_s: float) -> bool:
        """Ask the thread to end, and wait for it; true when it has."""
        with self._changed:
            self._unwanted = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _read(self) -> None:
        try:
            with self._connect() as connection:
                self.opened_s = time.monotonic()
                with self._changed:
                    self.connection = connection
                    self._changed.notify_all()
                for image in connection.pictures:
                    if self._unwanted or (image is not None and not self._hand_over(image)):
                        return
                self.reason = "the connection ended"
        except InputError as error:
            self.reason = str(error)
        except BaseException as error:  # for the thread that iterates
            self.error = error
        finally:
            with self._changed:
                self.ended = True
                self._changed.notify_all()

    def _hand_over(self, image: np.ndarray) -> bool:
        """Wait until the picture before was taken; false if nobody wants more."""
        came_s = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._slot is None or self._unwanted)
            self._slot = (image, came_s)
            self._changed.notify_all()
            return not self._unwanted


class Live(Clip):
    """The frames of a camera or a network stream until told to stop.

    A live picture never ends by itself. When the connection ends or falls silent, that is told within 5 s, and it is opened
    again, over and over, such that frames come within 10 s after the camera is back. There is never more than one connection.

    Attributes:
        finite: the stream has a known end and is better read as a video.
    """

    live = True

    def __init__(
        self, connect: Connect, name: str, *, stop: threading.Event, seconds: float | None = None, notify: Callable[[str], None]
    ) -> None:
        """Connect.

        Args:
            connect: from `camera` or `stream`.
            name: what messages call it.
            stop: ends the recording when set, also while there is no picture.
            seconds: ends the recording this long after the first frame.
            notify: takes one line when the pictures are lost and one when they are back; in the thread that iterates.

        Raises:
            InputError: it cannot be opened.
        """
        self._connect, self._name = connect, name
        self._stop, self._seconds = stop, seconds
        self._notify = notify
        self._end_s = float("inf")
        self._reader = _Reader(connect)
        try:
            while not self._reader.opened(_TICK_S) and not stop.is_set():
                pass
            connection = self._reader.connection
            if connection is None and self._reader.ended:
                raise self._reader.error or InputError(f"cannot open {name}: {self._reader.reason}")
        except BaseException:
            self._reader.close(_GRACE_S)
            raise
        self.finite = connection is not None and connection.finite
        self.rate = (connection and connection.rate) or _USUAL_RATE
        self.length = None if seconds is None else round(seconds * self.rate) or None

    def __exit__(self, *_: object) -> None:
        """Disconnect. A thread that hangs in a driver or in the network is left to end by itself."""
        self._reader.close(_GRACE_S)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames as they come.

        Raises:
            InputError: there is not even one frame.
        """
        start_s = lost_s = None
        pause_s = _PAUSES_S[0]
        while True:
            for image, now in self._pictures():
                if start_s is None:
                    start_s = now
                    self._end_s = now + (float("inf") if self._seconds is None else self._seconds)
                if lost_s is not None:
                    self._notify(f"{self._name}: pictures again after {now - lost_s:.0f} s")
                    lost_s = None
                if now < self._end_s:
                    assert self._reader.connection is not None, "a picture comes from an open connection"
                    yield Frame(image, now - start_s, self._reader.connection.pixel_aspect)
            if self._over():
                return
            if start_s is None:
                raise InputError(
                    f"{self._name} gives no picture: {self._why()}; check that it works and that no other program uses it"
                )
            if lost_s is None:
                lost_s = time.monotonic()
                self.drops += 1
                self._notify(f"{self._name}: {self._why()}, trying again")
            # Only a connection that failed at once is a reason for a longer pause.
            at_once = time.monotonic() - self._reader.started_s < _PAUSES_S[1]
            pause_s = min(2 * pause_s, _PAUSES_S[1]) if at_once else _PAUSES_S[0]
            self._reconnect(pause_s)

    def _over(self) -> bool:
        return self._stop.is_set() or time.monotonic() >= self._end_s

    def _why(self) -> str:
        return self._reader.reason if self._reader.ended else f"no picture for {connections.STALL_S:g} s"

    def _pictures(self) -> Iterator[tuple[np.ndarray, float]]:
        """What the present connection gives until it fails or falls silent, or the recording is over."""
        last_s = None
        while not self._over():
            if (taken := self._reader.take(_TICK_S)) is not None:
                yield taken
                last_s = time.monotonic()  # the time that the consumer takes is no silence
            elif self._reader.ended:
                if self._reader.error is not None:
                    raise self._reader.error
                return
            elif (since_s := last_s or self._reader.opened_s) is not None and time.monotonic() - since_s > connections.STALL_S:
                return

    def _reconnect(self, pause_s: float) -> None:
        """Open the next connection when the one before has ended, which a driver may delay, and after a pause."""
        while not self._reader.close(_TICK_S):
            if self._over():
                return
        self._stop.wait(max(0.0, min(pause_s, self._end_s - time.monotonic())))
        if not self._over():
            self._reader = _Reader(self._connect)
