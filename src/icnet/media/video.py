"""Video files, read through FFmpeg as far as they can be read."""

import os
import time
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Stream

from icnet.base.errors import InputError
from icnet.media.clips import Clip, Frame
from icnet.media.clock import Clock
from icnet.media.colours import EightBits
from icnet.media.connections import PROTOCOLS, pixel_aspect, pixels_option
from icnet.media.content import sniff
from icnet.media.sources import READABLE
from icnet.pictures.limits import MAX_PIXELS, check_size

_OTHERS = frozenset(
    {"hls", "dash", "webm_dash_manifest", "concat", "sdp", "rtsp", "rtp", "imf", "image2", "vobsub", "ico", "tty"}
)
"""Formats of FFmpeg that are no video of their own, beside the pictures whose names end in `_pipe`: what makes it open other
files or addresses, and what holds no moving pictures."""

STALL_SECONDS = 10.0
"""A video that gives no frame for so long is given up."""

_RATES = (Fraction(1, 100), Fraction(1000))
"""Frames per second that are believed."""


@cache
def _self_contained() -> str:
    names = (name for name in av.formats_available if _OTHERS.isdisjoint(name.split(",")) and not name.endswith("_pipe"))
    return ",".join(sorted(names))


def open_container(
    name: str,
    *,
    title: str | None = None,
    allow_url: bool = False,
    max_pixels: int = MAX_PIXELS,
    stall_seconds: float = STALL_SECONDS,
) -> InputContainer:
    """Open a video file for FFmpeg.

    Args:
        name: path of a file; with `allow_url` also a network address.
        title: what messages call it, if not by its name, which may hold a password.
        allow_url: also open playlists, which make FFmpeg open whatever they name.
        max_pixels: of a frame; FFmpeg takes no memory for larger ones.
        stall_seconds: FFmpeg's time to open it, and to read a packet.

    Raises:
        InputError: it cannot be read, or is a playlist.
    """
    title = title or name
    remote = allow_url and "://" in name and not os.path.exists(name)
    address = name if remote else f"file:{os.path.abspath(name)}"
    local = f"file,{PROTOCOLS}" if allow_url else "file"
    options = {"protocol_whitelist": PROTOCOLS if remote else local, "max_pixels": pixels_option(max_pixels)}
    options["skip_frame"] = "all"  # FFmpeg decodes a frame of every track to know the file, and there may be a thousand tracks
    try:
        if not allow_url:
            options["format_whitelist"] = _self_contained()
            if os.path.exists(name) and not os.path.isfile(name):  # a pipe might never give anything
                raise InputError(f"cannot read {title}: it is no file; {READABLE}")
            if sniff(Path(name)) == "playlist":
                raise InputError(f"{title} is a playlist, which names other files or addresses: allow it with --allow-url")
        return av.open(address, options=options, metadata_errors="replace", timeout=stall_seconds)
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or "FFmpeg does not know it"
        if isinstance(error, av.error.ExitError):
            reason = f"nothing came for {stall_seconds:g} s"
        if isinstance(error, av.error.InvalidDataError):
            reason = "it is damaged, cut off or no video"
        raise InputError(f"cannot read {title}: {reason}; {READABLE}") from None  # the error itself holds the address


def origin(container: InputContainer) -> Fraction:
    """When the earliest picture or sound of a file is due, in seconds by its own clock: the zero of our times."""
    starts = [start for stream in (*container.streams.video, *container.streams.audio) if (start := _start(stream)) is not None]
    return min(starts, default=Fraction(0))


def _start(stream: Stream) -> Fraction | None:
    return None if stream.start_time is None or stream.time_base is None else stream.start_time * stream.time_base


class Video(Clip):
    """A video file."""

    def __init__(
        self,
        name: str,
        *,
        title: str | None = None,
        allow_url: bool = False,
        max_pixels: int = MAX_PIXELS,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        """Open the file.

        Args:
            name: path, or with `allow_url` a network address.
            title: what messages call it, if not by its name.
            allow_url: also open playlists.
            max_pixels: of a frame; larger ones are refused before they take memory.
            stall_seconds: what comes after so long without a frame is out of reach.

        Raises:
            InputError: it cannot be read, holds no video, or larger frames.
        """
        self._title = title or name
        self._broke: str | None = None
        self._given, self._end_s = 0, 0.0
        self._picture = EightBits()
        self._stall_s, self._max_pixels = stall_seconds, max_pixels
        self._container = open_container(
            name, title=title, allow_url=allow_url, max_pixels=max_pixels, stall_seconds=stall_seconds
        )
        try:
            stream = self._container.streams.best("video")
            if not isinstance(stream, av.VideoStream) or stream.codec_context is None:  # None: an unknown codec
                raise InputError(f"it holds no video that FFmpeg can decode; {READABLE}")
            context = stream.codec_context
            check_size(context.width, context.height, max_pixels)
            context.thread_count = 1  # more hold frames of their own, and the network needs the cores
            context.options = {"max_pixels": pixels_option(max_pixels)}
        except InputError as error:
            self._container.close()
            raise InputError(f"cannot read {self._title}: {error}") from None
        except BaseException:
            self._container.close()
            raise
        self._stream = stream
        self._origin = origin(self._container)
        stated = stream.average_rate or stream.guessed_rate
        self.rate = stated if stated is not None and _RATES[0] <= stated <= _RATES[1] else Fraction(25)
        seconds = self._container.duration / av.time_base if self._container.duration else 0.0
        self.length = stream.frames or round(seconds * self.rate) or None
        if stream.duration and stream.time_base:
            self._stated_s = float(
                (stream.start_time or 0) * stream.time_base - self._origin + stream.duration * stream.time_base
            )
        else:  # the whole file's, which may be that of its sound
            self._stated_s = 0.0 if self._container.streams.audio else seconds

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        """Decode the frames, upright as the camera was held, each at its time after the file's beginning.

        Raises:
            InputError: there is not one frame that can be decoded.
        """
        clock, usual_s = Clock(self._origin), 1 / self.rate
        for frame in self._decoded():
            picture = self._pixels(frame)
            if picture is None:
                continue
            self._given += 1
            due = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            time_s = float(clock(due, usual_s))
            self._end_s = time_s + float(usual_s)
            turns = round(frame.rotation / 90)
            image = np.rot90(picture, turns)
            aspect = pixel_aspect(self._stream)
            yield Frame(np.ascontiguousarray(image), time_s, 1 / aspect if turns % 2 else aspect)
        if not self._given:
            damaged = f"it is damaged, or its frames have more than {self._max_pixels / 1e6:g} megapixels (--max-megapixels)"
            what = self._broke or (damaged if self.damaged else "it holds no frame")
            raise InputError(f"cannot read {self._title}: {what}; {READABLE}")

    @property
    def shortfall(self) -> str | None:
        """What is missing, after the last frame; None if nothing is."""
        if self._broke is not None:
            return f"it breaks off after {self._given} frames: {self._broke}"
        if self.damaged:
            return f"{self.damaged} damaged pieces were left out"
        total_s, slack_s = self._stated_s, float(max(3 / self.rate, Fraction(1, 20) * Fraction(self._stated_s)))
        if self._end_s < total_s - slack_s:
            return f"it ends after {self._end_s:.1f} s of {total_s:.1f}"
        return "its colours are HDR and flat: the installed FFmpeg cannot tone-map them" if self._picture.unmapped else None

    def _decoded(self) -> Iterator[av.VideoFrame]:
        """Every frame; what cannot be decoded is counted and left out."""
        packets = self._container.demux()  # of all kinds, so that sound without pictures does not keep us here
        last_s = time.monotonic()
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:  # the rest of the file is out of reach
                self.damaged += 1
                self._broke = error.strerror or "FFmpeg cannot read on"
                packet = None
            for frame in self._frames(packet) if packet is None or packet.stream is self._stream else []:
                yield frame
                last_s = time.monotonic()  # the time that the consumer takes is no stall
            if packet is None:
                return
            if time.monotonic() - last_s > self._stall_s:
                self._broke = f"it gave no frame for {self._stall_s:g} s"
                return

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray | None:
        """(H, W, 3) uint8 BGR of a frame; None if it is of a kind that FFmpeg decodes and cannot convert, which is counted."""
        try:
            return self._picture(frame)
        except (av.error.FFmpegError, ValueError):
            self.damaged += 1
            return None

    def _frames(self, packet: "av.Packet[Any] | None") -> list[av.VideoFrame]:
        try:
            return self._stream.codec_context.decode(packet)
        except av.error.EOFError:  # flushed already, by the packet that ends `demux`
            return []
        except (av.error.FFmpegError, ValueError):
            self.damaged += 1
            return []
