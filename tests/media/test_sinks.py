from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from icnet.base.classes import CAMVID
from icnet.base.errors import OutputError
from icnet.media import sinks
from icnet.media.sinks import partial_name, video_sink
from icnet.pictures.reading import read_image
from icnet.results.png import png, write_png

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
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert container.duration == pytest.approx(1_000_000, abs=2)  # microseconds: the last frame has its time, too
        assert stream.codec_context.colorspace == 1  # BT.709, said in the file
    # It plays from its first bytes on, and the index in front tells its length.
    assert [kind for kind, _ in boxes(path.read_bytes())][:5] == ["ftyp", "moov", "sidx", "moof", "mdat"]
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


def boxes(data: bytes) -> list[tuple[str, int]]:
    """The outermost boxes of an MP4 file with their ends."""
    found, place = [], 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        found.append((data[place + 4 : place + 8].decode("latin-1"), place + size))
        place += size
    return found


def test_times_are_kept_to_one_tick(tmp_path):
    clock = Fraction(1, 90_000)
    ticks = np.cumsum(np.random.default_rng(0).integers(1, 9000, 200))
    with video_sink(tmp_path / "v.mp4", rate=Fraction(30)) as video:
        for tick in ticks:
            video.write(plain(RED), float(tick * clock))
    with av.open(str(tmp_path / "v.mp4")) as container:
        read = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert max(abs(time - int(tick) * clock) for time, tick in zip(read, ticks, strict=True)) <= clock


def test_a_camera_that_was_away_for_days(tmp_path):
    with video_sink(tmp_path / "v.mp4", rate=Fraction(10)) as video:
        for time in (0.0, 0.1, 200_000.0, 200_000.1):
            video.write(plain(RED if time < 1 else GREEN), time)
    frames = decoded(tmp_path / "v.mp4")
    assert [round(time, 3) for time, _ in frames][-2:] == [200_000.0, 200_000.1]
    assert np.abs(frames[-3][1].astype(int) - RED).max() <= 6, "until then the last picture stands"


def test_fragments_are_short_so_that_little_is_lost_and_players_can_jump(tmp_path):
    with video_sink(tmp_path / "v.mp4", rate=Fraction(10)) as video:
        for number in range(100):
            video.write(plain(RED), number / 10)
    kinds = [kind for kind, _ in boxes((tmp_path / "v.mp4").read_bytes())]
    assert kinds.count("moof") >= 20
    with av.open(str(tmp_path / "v.mp4")) as container:
        keys = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.is_keyframe and packet.size]
    assert max(np.diff([float(key) for key in keys])) <= 2


def test_what_was_written_plays_while_the_video_is_being_written(tmp_path):
    path = tmp_path / "v.mp4"
    with video_sink(path, rate=Fraction(10)) as video:
        for number in range(50):
            video.write(plain(RED), number / 10)
            if number >= 20 and number % 7 == 0:
                assert len(decoded(partial_name(path))) >= number - 10  # a second
        assert not path.exists()
    assert not partial_name(path).exists()
    assert len(decoded(path)) == 50


def test_names_are_paths_and_never_protocols_for_writing_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (Path("run:1", "a.mp4"), Path("a:b.mp4"), Path("v%03d.mp4")):
        with video_sink(path, rate=Fraction(10)) as video:
            video.write(plain(RED), 0)
        assert path.is_file()


def test_without_fragments_what_was_written_would_not_play(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "_FRAGMENTS", {"movflags": "+faststart", "flush_packets": "1"})
    with video_sink(tmp_path / "v.mp4", rate=Fraction(10)) as video:
        for number in range(50):
            video.write(plain(RED), number / 10)
        with pytest.raises(av.error.InvalidDataError):
            decoded(partial_name(tmp_path / "v.mp4"))


def test_a_broken_video_keeps_its_beginning_under_another_name_and_the_old_one(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"old")

    def interrupted(frames: int) -> None:
        with video_sink(path, rate=Fraction(10)) as video:
            for number in range(frames):
                video.write(plain(RED), number / 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(0)
    assert [file.name for file in tmp_path.iterdir()] == ["v.mp4"]
    with pytest.raises(KeyboardInterrupt):
        interrupted(25)
    assert path.read_bytes() == b"old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["v.mp4", "v.partial.mp4"]
    assert len(decoded(tmp_path / "v.partial.mp4")) >= 20


def test_a_palette_png_holds_indices_and_shows_colours(tmp_path):
    classes = np.random.default_rng(0).integers(0, 12, (9, 7), dtype=np.uint8)
    write_png(tmp_path / "x.png", classes, palette_rgb=CAMVID.palette_rgb)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), classes)
        assert np.array_equal(np.asarray(picture.convert("RGB")), CAMVID.palette_rgb[classes])


def test_class_maps_become_small_pngs():
    classes = cv2.resize(np.random.default_rng(0).integers(0, 12, (12, 16), dtype=np.uint8), (960, 720), interpolation=0)
    data = png(classes)
    assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), classes)
    assert len(data) < 0.9 * len(cv2.imencode(".png", classes)[1])


def test_unwritable_places_are_one_line(tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_png(tmp_path / "x.png", plain(RED))
    (tmp_path / "v.mp4").mkdir()
    with pytest.raises(OutputError, match="cannot write"), video_sink(tmp_path / "v.mp4", rate=Fraction(10)) as video:
        video.write(plain(RED), 0)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["v.mp4", "v.partial.mp4", "x.png"]
