"""The sound of a video file, for the video that is made of it."""

from __future__ import annotations  # PyAV has no generic classes when it runs

import contextlib
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer

from icnet.media.clock import Clock
from icnet.media.video import open_container, origin

_COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"})
"""Codecs that an MP4 file can hold and players know; others are encoded anew."""

_AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})


class Sound(contextlib.AbstractContextManager["Sound"]):
    """The audio track of a file, read independently of its pictures. Use it in a `with` statement.

    Attributes:
        damaged: how many pieces of it were left out because they could not be read.
    """

    def __init__(self, name: str, *, title: str | None = None, allow_url: bool = False) -> None:
        """Open the file; the arguments and errors are those of `icnet.media.video.open_container`."""
        self.damaged = 0
        self._container = open_container(name, title=title, allow_url=allow_url)
        best = self._container.streams.best("audio")
        self._source = best if isinstance(best, av.AudioStream) and best.codec_context is not None else None
        self._clock = Clock(origin(self._container), earliest_s=-1)
        self._packets: Iterator[tuple[float, av.Packet[Any]]] = iter(())
        self._next: tuple[float, av.Packet[Any]] | None = None

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._container.close()

    @property
    def there(self) -> bool:
        """Whether the file has sound."""
        return self._source is not None and bool(self._source.codec_context.sample_rate)

    def add_to(self, target: OutputContainer) -> None:
        """Give `target` a track for the sound."""
        assert self._source is not None, "there is no sound"
        context = self._source.codec_context
        if context.codec.canonical_name in _COPIED:
            self._packets = self._copied(target.add_stream_from_template(self._source))
        else:
            rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48_000
            layout = "mono" if context.channels == 1 else "stereo"
            self._packets = self._encoded(target.add_stream("aac", rate=rate, layout=layout))
        self._next = next(self._packets, None)

    def until(self, time_s: float = math.inf) -> Iterator[av.Packet[Any]]:
        """Yield what is heard before `time_s` and was not given yet, ready for the target."""
        while self._next is not None and self._next[0] < time_s:
            yield self._next[1]
            self._next = next(self._packets, None)

    def _read(self) -> Iterator[av.Packet[Any]]:
        """The packets that have a time; an error ends them."""
        packets = self._container.demux(self._source)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self.damaged += 1
                return
            if packet is None:
                return
            if packet.pts is not None and packet.size:
                yield packet

    def _copied(self, track: av.AudioStream) -> Iterator[tuple[float, av.Packet[Any]]]:
        bare = track.codec_context.codec.canonical_name == "aac" and not track.codec_context.extradata
        last_pts: int | None = None
        for packet in self._read():
            data, base = bytes(packet), packet.time_base
            time_s = self._clock((packet.pts or 0) * base, (packet.duration or 0) * base)
            pts = round(time_s / base)
            if (bare and not _is_adts(data)) or (last_pts is not None and pts <= last_pts):
                self.damaged += 1
                continue
            if bare:
                track.codec_context.extradata = track.codec_context.extradata or _audio_specific_config(data)
                data = data[7 if data[1] & 1 else 9 :]  # the header of each frame, without or with its checksum
            last_pts, copy = pts, av.Packet(data)
            copy.pts = copy.dts = pts
            copy.time_base, copy.duration, copy.stream = base, packet.duration, track
            yield float(time_s), copy

    def _encoded(self, track: av.AudioStream) -> Iterator[tuple[float, av.Packet[Any]]]:
        assert self._source is not None
        begun = False
        for packet in self._read():
            try:
                frames = self._source.codec_context.decode(packet)
            except (av.error.FFmpegError, ValueError):
                self.damaged += 1
                continue
            for frame in frames:
                assert frame.time_base is not None
                due = None if frame.pts is None else frame.pts * frame.time_base
                frame.pts = round(self._clock(due, Fraction(frame.samples, frame.sample_rate or 1)) / frame.time_base)
                begun = True
                yield from _timed(track.codec_context.encode(frame), track)
        if begun:
            yield from _timed(track.codec_context.encode(None), track)


def _timed(packets: list[av.Packet[Any]], track: av.AudioStream) -> Iterator[tuple[float, av.Packet[Any]]]:
    for packet in packets:
        packet.stream = track
        yield float((packet.pts or 0) * packet.time_base), packet


def _is_adts(frame: bytes) -> bool:
    return len(frame) > 9 and frame[0] == 0xFF and frame[1] & 0xF0 == 0xF0


def _audio_specific_config(frame: bytes) -> bytes:
    """What an MP4 file must tell about AAC, from the ADTS header of a frame (ISO/IEC 14496-3, 1.6.2.1 and 1.A.2.2)."""
    profile, rate_index = (frame[2] >> 6) + 1, frame[2] >> 2 & 15
    channels = (frame[2] & 1) << 2 | frame[3] >> 6
    return (profile << 11 | rate_index << 7 | channels << 3).to_bytes(2, "big")
