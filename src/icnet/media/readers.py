"""The pictures inside a file or a camera."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import cv2
import numpy as np

from icnet.base.errors import InputError
from icnet.base.stderr import native_messages_dropped
from icnet.media.sources import READABLE

_USUAL_RATE = Fraction(30)
"""Frames per second of a camera whose driver does not know its own."""


def read_image(path: Path) -> np.ndarray:
    """Read a picture by its content, whatever its suffix; the orientation that a camera noted (EXIF) is applied.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: it cannot be read or is no complete picture.
    """
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every file name on every system
        with native_messages_dropped():
            image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except cv2.error as error:
        raise InputError(f"cannot read {path}: {error.err or 'OpenCV refused it'}") from error
    if image is None:
        what = "it is damaged or no picture" if data.size else "the file is empty"
        raise InputError(f"cannot read {path}: {what}; expected an image file such as PNG or JPEG")
    return image


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video."""

    image: np.ndarray
    """(H, W, 3) uint8 BGR."""
    time_s: float
    """Seconds since the first frame."""


class Clip(Protocol):
    """Moving pictures: read once, in order."""

    rate: Fraction
    """Frames per second, as far as it is known beforehand."""
    length: int | None
    """Number of frames, an estimate; None if unknown."""

    def __iter__(self) -> Iterator[Frame]:
        """The frames as they come."""
        ...


class Video(contextlib.AbstractContextManager["Video"]):
    """A video file, read through FFmpeg; implements `Clip`. Use it in a `with` statement."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            InputError: it cannot be read or holds no video.
        """
        self._path = path
        try:
            self._container = av.open(str(path))
        except (av.error.FFmpegError, OSError) as error:
            raise self._unreadable(error) from error
        if not self._container.streams.video:
            self._container.close()
            raise InputError(f"cannot read {path}: it holds no video; {READABLE}")
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = 1  # more hold frames of their own, and the network needs the cores
        self.rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        seconds = self._container.duration / av.time_base if self._container.duration else 0.0
        self.length: int | None = self._stream.frames or round(seconds * self.rate) or None

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Decode the frames, upright as the camera was held.

        Raises:
            InputError: the file is damaged somewhere, or has no frame.
        """
        start = None
        try:
            for number, frame in enumerate(self._container.decode(self._stream)):
                time_s = frame.time if frame.time is not None else float(number / self.rate)
                start = time_s if start is None else start
                image = np.rot90(frame.to_ndarray(format="bgr24"), round(frame.rotation / 90))
                yield Frame(np.ascontiguousarray(image), time_s - start)
        except (av.error.FFmpegError, OSError) as error:
            raise self._unreadable(error) from error
        if start is None:
            raise InputError(f"cannot read {self._path}: it holds no frame; {READABLE}")

    def _unreadable(self, error: Exception) -> InputError:
        reason = getattr(error, "strerror", None) or error
        return InputError(f"cannot read {self._path}: {reason}; {READABLE}")


class Camera(contextlib.AbstractContextManager["Camera"]):
    """A camera of this machine, until told to stop; implements `Clip`. Use it in a `with` statement."""

    def __init__(self, number: int, *, stop: threading.Event, seconds: float | None = None) -> None:
        """Open the camera.

        Args:
            number: 0 for the first one.
            stop: ends the recording when set.
            seconds: ends the recording after this time.

        Raises:
            InputError: there is no such camera, or it is in use.
        """
        self._number, self._stop, self._seconds = number, stop, seconds
        try:
            with native_messages_dropped():
                self._capture = cv2.VideoCapture(number)
        except cv2.error as error:
            raise InputError(f"cannot open camera {number}: OpenCV refuses this number; try another one") from error
        if not self._capture.isOpened():
            raise InputError(f"cannot open camera {number}: none is connected under this number, or another program uses it")
        told = self._capture.get(cv2.CAP_PROP_FPS)
        # Drivers that do not know tell 0, -1, nan or nonsense; a comparison with nan is false.
        self.rate = Fraction(told).limit_denominator(1000) if 1 <= told <= 1000 else _USUAL_RATE
        self.length = None if seconds is None else round(seconds * self.rate) or None

    def __exit__(self, *_: object) -> None:
        """Release the camera."""
        self._capture.release()

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames as they come; a camera that is unplugged ends the recording, which stays good up to there.

        Raises:
            InputError: the camera gives not even one frame.
        """
        start = None
        while not self._stop.is_set():
            good, image = self._capture.read()
            now = time.monotonic()
            if not good and start is None:
                raise InputError(f"camera {self._number} gives no picture: check that no other program uses it")
            start = now if start is None else start
            if not good or (self._seconds is not None and now - start >= self._seconds):
                return
            yield Frame(image, now - start)
