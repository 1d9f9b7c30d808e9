"""Results on disk: PNG pictures and H.264 videos, each complete or not there at all under its name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace

from icnet.base.errors import OutputError
from icnet.base.files import cannot_write, replacing
from icnet.media.jobs import partial_name
from icnet.media.sound import Sound

_CLOCK = Fraction(1, 90_000)
"""The usual time base of video, in seconds: exact for every common frame rate."""

_BT709 = 1
"""ITU-T H.273 code of the colours of HD video, named in the file so that no player has to guess."""

_CODEC = {"preset": "ultrafast", "crf": "23", "x264-params": "cabac=1:no-deblock=0", "threads": "1"}
"""Leaves the cores to the network. The two cheap tools that the preset leaves out make the files a tenth smaller and smoother."""

_KEY_FRAMES_S = 2
"""Distance of the frames at which a player can start."""

_UNFIT = (av.error.InvalidDataError, av.error.ArgumentError, av.error.PermissionError)
"""What FFmpeg says of sound that is damaged such that no file can hold it; the pictures go on without."""

_LONGEST_TICKS = round(3600 / _CLOCK)
"""Longest that one frame is shown; it is repeated then, because MP4 files tell the time of a frame in 31 bits."""

_FRAGMENTS = {
    # The index in front comes last: a player knows the length at once and can jump anywhere.
    "movflags": "frag_keyframe+delay_moov+default_base_moof+global_sidx",
    "frag_duration": "500000",  # microseconds of video that are lost at most when the process dies
    "movie_timescale": "90000",  # in which the beginning of the first frame is told
    "flush_packets": "1",
    "max_interleave_delta": "1000000",  # do not wait longer for sound that has ended
}
"""A file that plays from its beginning on, and up to its last fragment however it ends."""


class VideoWriter:
    """An H.264 video that is being written; made by `video_sink`."""

    def __init__(self, container: OutputContainer, rate: Fraction, sound: Sound | None) -> None:
        self._container, self._rate, self._sound = container, rate, sound
        self._stream: av.VideoStream | None = None
        self._frame: av.VideoFrame | None = None
        self._last_tick = -1
        self._cut = False

    @property
    def begun(self) -> bool:
        """Whether there is a frame."""
        return self._stream is not None

    def write(self, image: np.ndarray, time_s: float, pixel_aspect: Fraction = Fraction(1)) -> None:
        """Append a frame.

        Args:
            image: (H, W, 3) uint8 BGR. The first one fixes the size; an odd side grows by one repeated row or column,
                because H.264 halves the colours.
            time_s: when it is shown. Frames keep their times, so a camera's video runs at the speed of the world whatever
                the speed of the machine.
            pixel_aspect: width of a pixel by its height; that of the first frame holds.
        """
        even: Any = image
        if image.shape[0] % 2 or image.shape[1] % 2:
            even = cv2.copyMakeBorder(image, 0, image.shape[0] % 2, 0, image.shape[1] % 2, cv2.BORDER_REPLICATE)
        stream = self._stream or self._start(even.shape[0], even.shape[1], pixel_aspect)
        if even.shape[:2] != (stream.height, stream.width):  # a source may change its size midway, a file may not
            even = cv2.resize(even, (stream.width, stream.height), interpolation=cv2.INTER_LINEAR)
        frame = av.VideoFrame.from_ndarray(even, format="bgr24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        tick = max(round(time_s / _CLOCK), self._last_tick + 1)
        while self._frame is not None and tick - self._last_tick > _LONGEST_TICKS:
            self._encode(stream, self._frame, self._last_tick + _LONGEST_TICKS)
        self._encode(stream, frame, tick)
        self._frame = frame
        self._add_sound(float(tick * _CLOCK))

    def _encode(self, stream: av.VideoStream, frame: av.VideoFrame, tick: int) -> None:
        frame.pts, frame.time_base = tick, _CLOCK
        frame.duration = round(1 / (self._rate * _CLOCK))
        self._container.mux(stream.encode(frame))
        self._last_tick = tick

    def cut(self) -> None:
        """End the sound with the pictures: the source was left before its end."""
        self._cut = True

    def finish(self) -> None:
        """Write what the encoder still holds, and the rest of the sound."""
        assert self._stream is not None, "a video needs a frame"
        self._container.mux(self._stream.encode(None))
        if self._cut:
            self._add_sound(float(self._last_tick * _CLOCK + 1 / self._rate))
        else:
            self._add_sound()

    def _add_sound(self, *until_s: float) -> None:
        try:
            for packet in self._sound.until(*until_s) if self._sound is not None else ():
                self._container.mux(packet)
        except _UNFIT:
            assert self._sound is not None
            self._sound.damaged += 1
            self._sound = None

    def _start(self, height: int, width: int, pixel_aspect: Fraction) -> av.VideoStream:
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=_CODEC)
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        context = self._stream.codec_context
        context.time_base, context.sample_aspect_ratio = _CLOCK, pixel_aspect
        context.gop_size = max(1, round(self._rate * _KEY_FRAMES_S))
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        if self._sound is not None:
            self._sound.add_to(self._container)
        return self._stream


@contextmanager
def video_sink(path: Path, *, rate: Fraction, sound: Sound | None = None) -> Iterator[VideoWriter]:
    """Write an H.264 video (yuv420p, fragmented MP4) that browsers play from its first bytes on.

    The file appears when the block ends. Until then, and after an exception, what was written so far plays under the name
    that `partial_name` gives, unless there is no frame.

    Args:
        path: ends in `.mp4`; its folder is created when missing.
        rate: nominal frames per second.
        sound: goes into the file with the frames.

    Raises:
        OutputError: it cannot be written.
    """
    partial = partial_name(path)
    writer: VideoWriter | None = None
    try:
        with replacing(path, temporary=partial):
            container = av.open(f"file:{os.path.abspath(partial)}", "w", format="mp4", options=_FRAGMENTS)
            try:
                writer = VideoWriter(container, rate, sound if sound is not None and sound.there else None)
                yield writer
                writer.finish()
            except BaseException:
                with suppress(av.error.FFmpegError, OSError):  # the error that is on its way says more
                    container.close()
                raise
            container.close()
    except (av.error.FFmpegError, OutputError) as error:
        refused = error if isinstance(error, OutputError) else cannot_write(path, OSError(error.errno, error.strerror))
        kept = (
            f"; what was written until then is in {partial}" if writer is not None and writer.begun and partial.exists() else ""
        )
        raise OutputError(f"{refused}{kept}", lasting=refused.lasting) from error
    finally:
        if writer is None or not writer.begun:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
