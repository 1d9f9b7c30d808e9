import functools
import http.server
import itertools
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from camera_server import RATE, SIZE_HW, CameraServer, HttpCamera, RtspCamera, draw, number_of
from rtmp_server import rtmp_camera

from icnet.base.classes import CAMVID
from icnet.base.errors import InputError
from icnet.media import connections
from icnet.media.connections import Connection, camera, open_stream, stream
from icnet.media.jobs import plan
from icnet.media.process import ProcessOptions, process_clip
from icnet.media.sources import expand
from icnet.results.style import Style

PIXELS = SIZE_HW[0] * SIZE_HW[1]


def numbers(connection: Connection, count: int) -> list[int]:
    """Those of the next so many pictures."""
    return [number_of(image) for image in itertools.islice((image for image in connection.pictures if image is not None), count)]


@pytest.mark.parametrize(
    ("server", "rate", "pixel_aspect"),
    [(HttpCamera, 25, 1), (RtspCamera, RATE, Fraction(4, 3))],
    ids=["http: FFmpeg supposes 25", "rtsp"],
)
def test_a_live_stream(server, rate, pixel_aspect):
    with server() as source, stream(source.url, max_pixels=PIXELS)() as connection:
        assert (connection.rate, connection.pixel_aspect, connection.finite) == (rate, pixel_aspect, False)
        found = numbers(connection, 20)
        assert source.sent - found[-1] <= RATE // 2, "the pictures are current"
        assert found == list(range(found[0], found[0] + 20))


def test_in_a_stall_nothing_comes_before_it_is_one(monkeypatch):
    monkeypatch.setattr(connections, "STALL_S", 0.4)
    with RtspCamera() as source, stream(source.url, max_pixels=PIXELS)() as connection:
        numbers(connection, 5)
        source.stall()
        stalled_s = time.monotonic()
        came_s = [0.0]
        with pytest.raises(InputError, match=r"no picture for 0.4 s"):
            came_s += (time.monotonic() - stalled_s for image in connection.pictures if image is not None)
    assert not any(0.2 < seconds < 0.6 for seconds in came_s)


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (CameraServer.drop, "Connection refused"),
        (CameraServer.silent, "no answer for 0.3 s"),
        (CameraServer.garbage, "no answer for 0.3 s"),
    ],
)
def test_a_stream_that_cannot_be_opened_is_one_line_without_its_password(monkeypatch, fail, reason):
    monkeypatch.setattr(connections, "OPEN_S", 0.3)
    with HttpCamera() as source:
        fail(source)
        with pytest.raises(InputError) as caught:
            open_stream(with_password(source.url), max_pixels=PIXELS)
        assert str(caught.value) == f"{reason}; check the address, and that its server runs"
        assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_the_error_below_has_the_password():
    with HttpCamera() as source:
        source.drop()
        with pytest.raises(OSError, match="secret"):
            av.open(with_password(source.url))


def with_password(url: str) -> str:
    return url.replace("//", "//me:secret@")


@pytest.mark.parametrize(("server", "said"), [(HttpCamera, "cannot be decoded, or have"), (RtspCamera, r"\(64x48\),")])
def test_pictures_larger_than_allowed_are_refused_at_once(server, said):
    with (
        server() as source,
        pytest.raises(InputError, match=rf"{said} more than the 0\.003071.* allowed: raise --max-megapixels"),
    ):
        open_stream(source.url, max_pixels=PIXELS - 1)


class OddCamera(HttpCamera):
    """Sends `odd` for every other picture."""

    odd: bytes | None = None

    def jpeg(self, number: int) -> bytes:
        return self.odd if self.odd and number % 2 else super().jpeg(number)


@pytest.mark.parametrize(
    "odd",
    [cv2.imencode(".jpg", np.zeros((2 * SIZE_HW[0], SIZE_HW[1], 3), np.uint8))[1].tobytes(), b"\xff\xd8\xff\xe0 no picture"],
    ids=["larger than allowed", "damaged"],
)
def test_single_pictures_that_cannot_be_used_are_left_out(odd):
    with OddCamera() as source, stream(source.url, max_pixels=PIXELS)() as connection:
        assert {number % 2 for number in numbers(connection, 4)} == {0, 1}
        source.odd = odd
        began = source.sent + 1
        images = itertools.islice((image for image in connection.pictures if image is not None), 10)
        found = [(number_of(image), image.shape[:2]) for image in images][-5:]
    assert found[0][0] > began
    assert {(number % 2, shape) for number, shape in found} == {(0, SIZE_HW)}


def test_a_picture_without_a_limit_may_grow():
    """So the test above fails where the limit is not passed on."""
    with OddCamera() as source, stream(source.url, max_pixels=2 * PIXELS)() as connection:
        source.odd = cv2.imencode(".jpg", np.zeros((2 * SIZE_HW[0], SIZE_HW[1], 3), np.uint8))[1].tobytes()
        shapes = {image.shape for image in itertools.islice(connection.pictures, 20) if image is not None}
    assert (2 * SIZE_HW[0], SIZE_HW[1], 3) in shapes


@pytest.fixture
def files(tmp_path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which HTTP serves it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def write_video(path: Path) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg2video", rate=RATE)
        video.height, video.width = SIZE_HW
        video.pix_fmt = "yuv420p"
        for number in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(draw(number), format="bgr24")))
        container.mux(video.encode(None))


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_a_file_over_http_is_finite(files, suffix):
    folder, url = files
    write_video(folder / f"v{suffix}")
    with stream(f"{url}/v{suffix}", max_pixels=PIXELS)() as connection:
        assert connection.finite
        assert numbers(connection, 10) == list(range(10))
        assert numbers(connection, 1) == []


def test_a_picture_over_http_is_finite(files):
    folder, url = files
    cv2.imwrite(str(folder / "p.jpg"), draw(5))
    with stream(f"{url}/p.jpg", max_pixels=PIXELS)() as connection:
        assert connection.finite
        assert numbers(connection, 1) == [5]


def test_what_holds_no_video_is_one_line(files):
    folder, url = files
    (folder / "index.html").write_text("<html>" + "text " * 10000)
    with pytest.raises(InputError, match=r"^Invalid data found .*; check the address"):
        open_stream(f"{url}/index.html", max_pixels=PIXELS)
    with pytest.raises(InputError, match="404 Not Found; check the address"):
        open_stream(f"{url}/absent", max_pixels=PIXELS)


def playlist(folder: Path, segment: str, *, end: str = "#EXT-X-ENDLIST\n") -> None:
    write_video(folder / "v.ts")
    (folder / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\n{segment}\n{end}")


def test_a_server_cannot_make_us_read_our_files(files, monkeypatch):
    folder, url = files
    playlist(folder, "v.ts")
    with open_stream(f"{url}/list.m3u8", max_pixels=PIXELS) as container:
        assert container.format.name == "hls"
    playlist(folder, f"file://{folder}/v.ts")
    with pytest.raises(InputError):
        open_stream(f"{url}/list.m3u8", max_pixels=PIXELS)
    allowed = connections._OPTIONS["protocol_whitelist"]
    monkeypatch.setitem(connections._OPTIONS, "protocol_whitelist", f"{allowed},file")
    open_stream(f"{url}/list.m3u8", max_pixels=PIXELS).close()


def test_a_live_playlist_is_refused(files, monkeypatch):
    monkeypatch.setattr(connections, "OPEN_S", 0.5)
    folder, url = files
    playlist(folder, "v.ts", end="")
    with pytest.raises(InputError, match="HLS"):
        open_stream(f"{url}/list.m3u8", max_pixels=PIXELS)


class FakeCapture:
    """`cv2.VideoCapture` of one camera, number 0."""

    rate = 25.0
    released = 0

    def __init__(self, number: int):
        self.good = number == 0

    def isOpened(self) -> bool:
        return self.good

    def get(self, _: int) -> float:
        return self.rate

    def read(self) -> tuple[bool, np.ndarray]:
        self.good = not self.good
        return not self.good, draw(7)

    def release(self) -> None:
        FakeCapture.released += 1


@pytest.fixture
def fake_camera(monkeypatch) -> None:
    monkeypatch.setattr(connections.cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(FakeCapture, "released", 0)


@pytest.mark.usefixtures("fake_camera")
def test_a_camera_gives_its_pictures_or_none_and_is_released():
    with camera(0)() as connection:
        start = time.monotonic()
        pictures = list(itertools.islice(connection.pictures, 4))
        assert time.monotonic() - start >= connections._BREATH_S, "a camera that fails at once keeps no processor busy"
        assert FakeCapture.released == 0
    assert FakeCapture.released == 1
    assert [image is not None for image in pictures] == [True, False, True, False]
    with pytest.raises(InputError, match="none is connected under this number"), camera(1)():
        pass
    assert FakeCapture.released == 2


@pytest.mark.usefixtures("fake_camera")
@pytest.mark.parametrize(
    ("told", "rate"),
    [(29.97, Fraction(2997, 100)), (30000 / 1001, Fraction(30000, 1001)), *((odd, None) for odd in (0, -1, np.nan, np.inf, 9e6))],
)
def test_a_rate_that_a_driver_does_not_know_is_none(monkeypatch, told, rate):
    monkeypatch.setattr(FakeCapture, "rate", told)
    with camera(0)() as connection:
        assert connection.rate == rate


@pytest.mark.parametrize("number", [99, 99999999999])
def test_a_camera_that_is_not_there_is_one_line_and_nothing_beside_it(number, capfd):
    level = cv2.utils.logging.getLogLevel()
    with pytest.raises(InputError, match="another") as caught, camera(number)():
        pass
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() == level


def test_opencv_by_itself_is_not_silent(capfd):
    cv2.VideoCapture(99)
    assert capfd.readouterr().err


def test_pictures_that_are_sent_to_a_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    stop = threading.Event()

    def send() -> None:
        with av.open(f"udp://127.0.0.1:{port}?pkt_size=1316", "w", format="mpegts") as container:
            video = container.add_stream("mpeg2video", rate=RATE, options={"g": "5"})
            video.height, video.width, video.pix_fmt = *SIZE_HW, "yuv420p"
            number = 0
            while not stop.wait(1 / RATE):
                number += 1
                container.mux(video.encode(av.VideoFrame.from_ndarray(draw(number), format="bgr24")))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        (source,) = expand([f"udp://@:{port}"], allow_url=True)
        with stream(source.name, max_pixels=PIXELS)() as connection:
            assert not connection.finite
            found = numbers(connection, 10)
            assert found == list(range(found[0], found[0] + 10))
    finally:
        stop.set()
        sender.join()


def test_pictures_over_rtmp():
    with rtmp_camera(pictures=30) as url:
        (source,) = expand([url], allow_url=True)
        with stream(source.name, max_pixels=PIXELS)() as connection:
            assert (connection.finite, numbers(connection, 10)) == (False, list(range(10)))


@pytest.mark.parametrize(
    ("scheme", "reason"),
    [
        ("rtmp", "Connection refused"),
        ("srt", "let another program send it as udp|Connection|no answer"),
        ("udp", "no answer for 0.3 s"),
    ],
)
def test_other_protocols_are_allowed_and_a_failure_is_one_line(monkeypatch, scheme, reason):
    monkeypatch.setattr(connections, "OPEN_S", 0.3)
    with HttpCamera() as source:
        source.drop()  # so that nobody else has its port
        with pytest.raises(InputError, match=reason):
            open_stream(f"{scheme}://127.0.0.1:{source.port}/live", max_pixels=PIXELS)


def test_a_camera_by_the_path_of_its_device(tmp_path, monkeypatch):
    opened: list[tuple] = []

    class Capture:
        def __init__(self, *device: object):
            opened.append(device)

        def isOpened(self) -> bool:
            return False

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    (tmp_path / "by-id-of-my-camera").symlink_to("/dev/null")  # a device too
    (source,) = expand([str(tmp_path / "by-id-of-my-camera")])
    assert (source.kind, source.is_live, source.is_file) == ("camera", True, False)
    (job,) = plan([source], tmp_path / "out")
    assert job.outputs == [tmp_path / "out" / "camera-by-id-of-my-camera.mp4"]
    with pytest.raises(InputError, match=r"^cannot open camera .*by-id-of-my-camera: none is connected under this name"):
        process_clip(None, job, ProcessOptions(Style(CAMVID)), advance=lambda *_: None, stop=threading.Event())  # type: ignore[arg-type]
    assert opened == [("/dev/null", cv2.CAP_V4L2)]
