"""Results on disk: PNG pictures and H.264 videos, each complete or not there at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorRange, Colorspace

from icnet.base.errors import OutputError
from icnet.base.files import replacing

_CLOCK = Fraction(1, 90_000)
"""The usual time base of video, in seconds: exact for every common frame rate."""

_BT709 = 1
"""ITU-T H.273 code of the colours of HD video, named in the file so that no player has to guess."""

_CODEC = {"preset": "ultrafast", "crf": "23", "x264-params": "cabac=1:no-deblock=0", "threads": "1"}
"""Leaves the cores to the network. The two cheap tools that the preset leaves out make the files a tenth smaller and smoother."""


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a picture or class map.

    Args:
        path: its folder is created when missing.
        image: (H, W) uint8 or (H, W, 3) uint8 BGR.

    Raises:
        OutputError: it cannot be written.
    """
    _, data = cv2.imencode(".png", image)  # cv2.imwrite cannot open every file name on every system
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


class VideoWriter:
    """An H.264 video that is being written; made by `video_sink`."""

    def __init__(self, container: OutputContainer, rate: Fraction) -> None:
        self._container, self._rate = container, rate
        self._stream: av.VideoStream | None = None
        self._last_tick = -1

    def write(self, image: np.ndarray, time_s: float) -> None:
        """Append a frame.

        Args:
            image: (H, W, 3) uint8 BGR. The first one fixes the size; an odd side grows by one repeated row or column,
                because H.264 halves the colours.
            time_s: when it is shown. Frames keep their times, so a camera's video runs at the speed of the world whatever
                the speed of the machine.
        """
        even: Any = image
        if image.shape[0] % 2 or image.shape[1] % 2:
            even = cv2.copyMakeBorder(image, 0, image.shape[0] % 2, 0, image.shape[1] % 2, cv2.BORDER_REPLICATE)
        stream = self._stream or self._start(*even.shape[:2])
        if even.shape[:2] != (stream.height, stream.width):  # a source may change its size midway, a file may not
            even = cv2.resize(even, (stream.width, stream.height), interpolation=cv2.INTER_LINEAR)
        frame = av.VideoFrame.from_ndarray(even, format="bgr24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        self._last_tick = max(round(time_s / _CLOCK), self._last_tick + 1)
        frame.pts, frame.time_base = self._last_tick, _CLOCK
        self._container.mux(stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        assert self._stream is not None, "a video needs a frame"
        self._container.mux(self._stream.encode(None))

    def _start(self, height: int, width: int) -> av.VideoStream:
        self._stream = self._container.add_stream("libx264", rate=self._rate, options=_CODEC)
        self._stream.height, self._stream.width, self._stream.pix_fmt = height, width, "yuv420p"
        context = self._stream.codec_context
        context.time_base = _CLOCK
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        return self._stream


@contextmanager
def video_sink(path: Path, *, rate: Fraction) -> Iterator[VideoWriter]:
    """Write an H.264 video (yuv420p, index in front) that browsers play.

    The file appears when the block ends; after an exception nothing is left of it.

    Args:
        path: ends in `.mp4`; its folder is created when missing.
        rate: nominal frames per second.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(path) as temporary:
        try:
            with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as container:
                writer = VideoWriter(container, rate)
                yield writer
                writer.finish()
        except av.error.FFmpegError as error:
            raise OutputError(
                f"cannot write {path}: {error.strerror or error}; choose another place or free some space"
            ) from error
