"""Video files for tests, written with FFmpeg alone, so that no fault of ours can hide behind itself."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE_HZ = 44_100


def picture(number: int, size_hw: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A grey ramp with a bar that moves with `number`."""
    image = np.empty((*size_hw, 3), np.uint8)
    image[:] = np.linspace(20, 120, size_hw[1]).astype(np.uint8)[None, :, None]
    start = 4 * number % size_hw[1]
    image[:, start : start + 8] = (40, 200, 240)
    return image


def write_clip(
    path: Path,
    ticks: Sequence[int],
    *,
    time_base: Fraction = Fraction(1, 30),
    size_hw: tuple[int, int] = (48, 64),
    codec: str = "libx264",
    sound: str | None = None,
    form: str | None = None,
    offset_s: float = 0,
    pixel_aspect: Fraction = Fraction(1),
) -> None:
    """Write a clip with frames at the given `ticks` of `time_base`.

    Args:
        sound: audio codec of a tone as long as the pictures, none if not given.
        form: FFmpeg's name of the container, by the suffix if not given.
        offset_s: of all times of the file.
        pixel_aspect: width of a pixel by its height.
    """
    options = {"preset": "ultrafast", "g": "10"} if codec == "libx264" else {}
    with av.open(str(path), "w", format=form, options={"output_ts_offset": str(offset_s)}) as container:
        video = container.add_stream(codec, rate=round(1 / time_base) if time_base > Fraction(1, 1000) else 30, options=options)
        video.height, video.width, video.pix_fmt = *size_hw, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.codec_context.time_base, video.codec_context.sample_aspect_ratio = time_base, pixel_aspect
        audio = container.add_stream(sound, rate=RATE_HZ, layout="mono") if sound else None
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(number, size_hw), format="bgr24")
            frame.pts, frame.time_base = tick, time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            length = round(RATE_HZ * (ticks[-1] + 1) * time_base)
            tone = (0.3 * np.sin(np.arange(length) * 0.05)).astype(np.float32)[None]
            for start in range(0, length, 1024):
                samples = av.AudioFrame.from_ndarray(tone[:, start : start + 1024], format="fltp", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
                container.mux(audio.encode(samples))
            container.mux(audio.encode(None))


def write_tracks(path: Path, tracks: int, codec: str, pixels: str, size_hw: tuple[int, int]) -> None:
    """Write a clip of one black frame in each of many tracks."""
    frame = av.VideoFrame(size_hw[1], size_hw[0], pixels)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    with av.open(str(path), "w") as container:
        videos = [container.add_stream(codec, rate=25) for _ in range(tracks)]
        for video in videos:
            video.height, video.width, video.pix_fmt = *size_hw, pixels
        first = videos[0]
        packets = [*first.encode(frame), *first.encode(None)]
        for video in videos[1:]:
            video.codec_context.extradata = first.codec_context.extradata
        for video in videos:
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.time_base, copy.stream = packet.pts, packet.dts, packet.time_base, video
                copy.is_keyframe = True
                container.mux(copy)


def turn(path: Path, *matrix: int) -> None:
    """Give an MP4 file another display matrix, row by row; 16 bits behind the point, 30 in the last column."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    data[place : place + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)


def frame_times(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def sound_packets(path: Path) -> list[bytes]:
    """The encoded sound, packet by packet; empty if there is none."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size] if container.streams.audio else []
