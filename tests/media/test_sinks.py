from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from icnet.base.errors import OutputError
from icnet.media.readers import read_image
from icnet.media.sinks import video_sink, write_png

RED, GREEN = (40, 60, 220), (60, 200, 40)


def plain(colour: tuple[int, int, int], size_hw: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size_hw, 3), colour, np.uint8)


def decoded(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def test_png_is_lossless_under_any_name(tmp_path):
    classes = np.random.default_rng(0).integers(0, 12, (9, 7), dtype=np.uint8)
    path = tmp_path / "neu" / "straße 道路 [1].png"
    write_png(path, classes)
    assert np.array_equal(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED), classes)
    write_png(path, plain(RED))
    assert np.array_equal(read_image(path), plain(RED))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_video_is_what_browsers_play(tmp_path):
    path = tmp_path / "new" / "v.mp4"
    with video_sink(path, rate=Fraction(10)) as video:
        for number in range(10):
            video.write(plain(RED if number < 5 else GREEN), number / 10)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.frames) == ("h264", "yuv420p", 10)
        assert stream.average_rate == 10
        assert stream.codec_context.colorspace == 1  # BT.709, said in the file
    data = path.read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    frames = decoded(path)
    assert [round(time, 3) for time, _ in frames] == [number / 10 for number in range(10)]
    for number, colour in ((1, RED), (8, GREEN)):
        assert np.abs(frames[number][1].astype(int) - colour).max() <= 6
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_uneven_times_are_kept(tmp_path):
    times = [0.0, 0.1, 0.15, 1.0, 1.0]  # the last one does not grow: it comes one tick later
    with video_sink(tmp_path / "v.mp4", rate=Fraction(30)) as video:
        for time in times:
            video.write(plain(RED), time)
    read = [time for time, _ in decoded(tmp_path / "v.mp4")]
    assert read == pytest.approx(times, abs=1e-3)
    assert read == sorted(set(read))


def test_odd_sides_grow_by_a_repeated_pixel(tmp_path):
    with video_sink(tmp_path / "v.mp4", rate=Fraction(10)) as video:
        video.write(plain(RED, (47, 63)), 0)
        video.write(plain(GREEN, (20, 20)), 0.1)  # another size midway
    (_, first), (_, second) = decoded(tmp_path / "v.mp4")
    assert first.shape == second.shape == (48, 64, 3)
    assert np.abs(first.astype(int) - RED).max() <= 6
    assert np.abs(second.astype(int) - GREEN).max() <= 6


def test_a_broken_video_leaves_nothing_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with video_sink(path, rate=Fraction(10)) as video:
            video.write(plain(RED), 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["v.mp4"]


def test_unwritable_places_are_one_line(tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_png(tmp_path / "x.png", plain(RED))
    (tmp_path / "v.mp4").mkdir()
    with pytest.raises(OutputError, match="cannot write"), video_sink(tmp_path / "v.mp4", rate=Fraction(10)) as video:
        video.write(plain(RED), 0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["v.mp4", "x.png"]
