import os
import struct
import threading
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from icnet.base.errors import InputError
from icnet.media import readers
from icnet.media.readers import Camera, Video, read_image
from icnet.media.sinks import video_sink

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def encoded(suffix: str, image: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def test_pictures_are_read_by_content_under_any_name(tmp_path):
    path = tmp_path / "ü 道.jpg"
    path.write_bytes(encoded(".png"))
    assert np.array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize("image", [PICTURE[:, :, 0], np.dstack([PICTURE, PICTURE[:, :, :1]]), PICTURE.astype(np.uint16) * 257])
def test_grey_alpha_and_16_bit_become_bgr(tmp_path, image):
    (tmp_path / "x.png").write_bytes(encoded(".png", image))
    read = read_image(tmp_path / "x.png")
    assert (read.shape, read.dtype) == ((30, 40, 3), np.uint8)
    assert np.array_equal(read[:, :, 0], PICTURE[:, :, 0])


def test_the_orientation_in_exif_is_applied(tmp_path):
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)  # 6: turn clockwise to view
    segment = b"Exif\0\0" + tiff
    jpeg = encoded(".jpg")
    (tmp_path / "x.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:])
    plain = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(read_image(tmp_path / "x.jpg"), np.rot90(plain, -1))


@pytest.mark.parametrize("content", [b"", b"no picture", encoded(".png")[:900], encoded(".jpg")[:300]])
def test_bad_pictures_are_one_line_and_native_libraries_stay_quiet(tmp_path, capfd, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*x\.png") as caught:
        read_image(tmp_path / "x.png")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_image(tmp_path)


def write_video(path: Path, times: list[float]) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = 255  # the left half is white
    with video_sink(path, rate=Fraction(10)) as video:
        for time_s in times:
            video.write(image, time_s)


def test_video_frames_and_times(tmp_path):
    write_video(tmp_path / "v.mp4", [2.0, 2.1, 2.5])
    with Video(tmp_path / "v.mp4") as video:
        assert video.length == 3
        frames = list(video)
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.5], abs=1e-3)
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[0].image[:, :28].min() > 240
    assert frames[0].image[:, 36:].max() < 15


def test_a_video_of_a_turned_camera_is_upright(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, [0.0, 0.1])
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)  # clockwise
    path.write_bytes(data)
    with Video(path) as video:
        image = next(iter(video)).image
    assert image.shape == (64, 48, 3)
    assert image[:28].min() > 240  # left has become the top
    assert image[36:].max() < 15


def test_bad_videos_are_one_line(tmp_path, capfd):
    (tmp_path / "text.mp4").write_bytes(b"no video" * 100)
    write_video(tmp_path / "good.mp4", [0.0])
    (tmp_path / "half.mp4").write_bytes((tmp_path / "good.mp4").read_bytes()[:500])
    for name in ("text.mp4", "half.mp4", "none.mp4"):
        with pytest.raises(InputError, match=f"cannot read .*{name}") as caught, Video(tmp_path / name) as video:
            list(video)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


class FakeCapture:
    """`cv2.VideoCapture` that gives `frames` pictures."""

    frames = 5

    def __init__(self, number: int):
        self.left = self.frames if number == 0 else -1

    def isOpened(self) -> bool:
        return self.left >= 0

    def get(self, _: int) -> float:
        return 25.0

    def read(self):
        self.left -= 1
        return self.left >= 0, PICTURE

    def release(self) -> None:
        pass


@pytest.fixture
def fake_camera(monkeypatch) -> None:
    monkeypatch.setattr(readers.cv2, "VideoCapture", FakeCapture)


@pytest.mark.usefixtures("fake_camera")
def test_camera_ends_when_stopped_and_when_unplugged():
    stop = threading.Event()
    with Camera(0, stop=stop) as camera:
        assert (camera.rate, camera.length) == (25, None)
        assert len(list(camera)) == 5
    with Camera(0, stop=stop) as camera:
        for number, _ in enumerate(camera):
            if number == 1:
                stop.set()
    assert number == 1


@pytest.mark.usefixtures("fake_camera")
def test_camera_ends_after_its_time(monkeypatch):
    ticks = iter([10.0, 11.0, 12.0])
    monkeypatch.setattr(readers.time, "monotonic", lambda: next(ticks))
    with Camera(0, stop=threading.Event(), seconds=2) as camera:
        assert camera.length == 50
        assert [frame.time_s for frame in camera] == [0.0, 1.0]


@pytest.mark.usefixtures("fake_camera")
@pytest.mark.parametrize(
    ("told", "rate"), [(29.97, Fraction(2997, 100)), (0, 30), (-1, 30), (float("nan"), 30), (float("inf"), 30), (9e6, 30)]
)
def test_a_rate_that_a_driver_does_not_know_becomes_a_usual_one(monkeypatch, told, rate):
    monkeypatch.setattr(FakeCapture, "get", lambda self, _: told)
    with Camera(0, stop=threading.Event(), seconds=2) as camera:
        assert (camera.rate, camera.length) == (rate, round(2 * rate))


def test_a_camera_number_that_opencv_does_not_take_is_one_line():
    with pytest.raises(InputError, match="cannot open camera 99999999999") as caught:
        Camera(99999999999, stop=threading.Event())
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("fake_camera")
def test_missing_and_dead_cameras_are_one_line(monkeypatch):
    with pytest.raises(InputError, match="cannot open camera 7"):
        Camera(7, stop=threading.Event())
    monkeypatch.setattr(FakeCapture, "frames", 0)
    with pytest.raises(InputError, match="camera 0 gives no picture"), Camera(0, stop=threading.Event()) as camera:
        list(camera)
