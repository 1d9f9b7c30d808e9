"""Opening what gives live pictures: a camera of this machine or a network stream."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.container import InputContainer

from icnet.base.errors import InputError
from icnet.media.colours import EightBits
from icnet.pictures.limits import check_size

OPEN_S = 3.0
"""FFmpeg's time for each of the two steps of opening a stream: to connect and to find its pictures."""

STALL_S = 4.0
"""Without a picture for so long, a connection is given up."""

_READ_S = 0.5
"""FFmpeg waits so much longer: at its own time-out it first gives what a parser held back, which would look like a picture."""

_SELECT_S = 1
"""Whole seconds that OpenCV waits for a picture on Linux before it says that there is none; its own value is 10."""

_BREATH_S = 0.1
"""Pause after a camera had no picture: an unplugged one says so at once, again and again."""

PROTOCOLS = "http,https,httpproxy,tls,tcp,crypto,rtp,rtsp,udp,rtmp,rtmps,rtmpt,srt"
"""What FFmpeg may use for an address: nothing that leads to files of this machine, whatever a playlist there says."""

_MOST_PIXELS = 2**31 - 1
"""FFmpeg takes no higher limit."""

_OPTIONS = {
    "protocol_whitelist": PROTOCOLS,
    "rtsp_transport": "tcp",
    "allowed_media_types": "video",
    "analyzeduration": "1000000",  # microseconds
    "probesize": "1000000",  # bytes
    "max_streams": "16",  # tracks: FFmpeg decodes a picture of each to know them
}


@dataclass(frozen=True, eq=False)
class Connection:
    """An open camera or stream."""

    pictures: Iterator[np.ndarray | None]
    """(H, W, 3) uint8 BGR as they come; None where there was none for a moment. An InputError tells why it broke."""
    rate: Fraction | None = None
    """Frames per second, None if unknown."""
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel by its height."""
    finite: bool = False
    """It is a file over HTTP with a known end, and not a live picture."""


Connect = Callable[[], contextlib.AbstractContextManager[Connection]]
"""Opens a connection and closes it at the end of the `with` block; an InputError is the bare reason why it cannot."""


def camera(which: int | str) -> Connect:
    """A camera of this machine: its number, of which 0 is the first, or the path of its device, which may be a link to it."""

    kind = "number" if isinstance(which, int) else "name"

    @contextlib.contextmanager
    def connect() -> Iterator[Connection]:
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(_SELECT_S))
        with _opencv_silent():
            try:
                device = (which,) if isinstance(which, int) else (os.path.realpath(which), cv2.CAP_V4L2)
                capture = cv2.VideoCapture(*device)
            except cv2.error as error:
                raise InputError(f"OpenCV refuses this {kind}; try another one") from error
            try:
                if not capture.isOpened():
                    raise InputError(f"none is connected under this {kind}, or another program uses it")
                yield Connection(_captured(capture), _sensible(capture.get(cv2.CAP_PROP_FPS)))
            finally:
                capture.release()

    return connect


def stream(url: str, *, max_pixels: int) -> Connect:
    """A network stream at an address; pictures of more than `max_pixels` pixels are refused."""

    @contextlib.contextmanager
    def connect() -> Iterator[Connection]:
        with open_stream(url, max_pixels=max_pixels) as container:
            video = container.streams.video[0]
            rate = _sensible(video.average_rate or video.guessed_rate)
            yield Connection(_decoded(container), rate, pixel_aspect(video), finite=_has_end(container))

    return connect


def open_stream(url: str, *, max_pixels: int) -> InputContainer:
    """Open a network stream so that its server can neither hang us, nor read our files, nor fill our memory.

    Raises:
        InputError: the bare reason why it cannot be opened, without the address, which may hold a password.
    """
    try:
        pixels = {"max_pixels": pixels_option(max_pixels)}  # also a stream may change its size
        container = av.open(url, options=_OPTIONS | pixels, timeout=(OPEN_S, STALL_S + _READ_S))
    except av.error.ProtocolNotFoundError:
        raise InputError("the FFmpeg within PyAV was built without this protocol; let another program send it as udp") from None
    except av.error.FFmpegError as error:  # its own text holds the address
        reason = f"no answer for {OPEN_S:g} s" if isinstance(error, av.error.ExitError) else error.strerror
        raise InputError(f"{reason}; check the address, and that its server runs") from None
    try:
        if not container.streams.video or container.streams.video[0].codec_context is None:
            raise InputError("it gives no video that FFmpeg can decode")
        if container.format.name == "hls" and not _has_end(container):
            raise InputError("a live playlist (HLS) comes in pieces, seconds late; give the camera's rtsp or MJPEG address")
        codec = container.streams.video[0].codec_context
        if not codec.width and codec.codec.intra_only:  # others may begin in the middle, without their size
            allowed = f"more than the {max_pixels / 1e6:g} megapixels allowed"
            raise InputError(f"its pictures cannot be decoded, or have {allowed}: raise --max-megapixels")
        check_size(codec.width, codec.height, max_pixels)
        codec.options = pixels
        codec.thread_count = 1  # more hold frames of their own, and the network needs the cores
    except InputError:
        container.close()
        raise
    return container


def _has_end(container: InputContainer) -> bool:
    """Whether its length is known in seconds or, if it is a bare file, in bytes."""
    return container.duration is not None or (container.format.name not in ("hls", "mpjpeg") and container.size > 0)


def _captured(capture: cv2.VideoCapture) -> Iterator[np.ndarray | None]:
    while True:
        try:
            good, image = capture.read()
        except cv2.error as error:
            raise InputError(error.err or "OpenCV cannot read it") from error
        if not good:
            time.sleep(_BREATH_S)
        yield image if good else None


def _decoded(container: InputContainer) -> Iterator[np.ndarray | None]:
    video, picture = container.streams.video[0], EightBits()
    try:
        for packet in container.demux():  # of all kinds, so that sound without pictures does not keep us here
            # What is damaged, or of a kind that FFmpeg decodes and cannot convert, is passed over; the next keyframe mends it.
            with contextlib.suppress(av.error.FFmpegError, ValueError):
                yield from map(picture, cast(list[av.VideoFrame], packet.decode()) if packet.stream is video else [])
            yield None
    except av.error.ExitError:
        raise InputError(f"no picture for {STALL_S:g} s") from None
    except av.error.FFmpegError as error:
        raise InputError(f"the connection broke ({error.strerror})") from None


def pixels_option(max_pixels: int) -> str:
    """The most pixels of a frame as FFmpeg's decoders take it."""
    return str(min(max_pixels, _MOST_PIXELS))


def pixel_aspect(stream: av.VideoStream) -> Fraction:
    """Width of a pixel by its height, as the container tells it, or the codec, which may know it after the first frame only; 1 if
    neither does, or what no camera has."""
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return ratio.limit_denominator(1000) if ratio is not None and Fraction(1, 16) <= ratio <= 16 else Fraction(1)


def _sensible(rate: float | Fraction | None) -> Fraction | None:
    """Drivers that do not know their rate tell 0, -1, nan or nonsense; a comparison with nan is false."""
    return Fraction(rate).limit_denominator(1001) if rate is not None and 1 <= rate <= 1000 else None


@contextlib.contextmanager
def _opencv_silent() -> Iterator[None]:
    """Drop OpenCV's log: our one line says the same. Unlike `native_messages_dropped` it makes no other thread wait."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
