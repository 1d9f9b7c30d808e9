import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from camera_server import RATE, SIZE_HW, CameraServer, HttpCamera, RtspCamera, draw, number_of

from icnet.base.errors import InputError
from icnet.media import connections, live
from icnet.media.ahead import Newest
from icnet.media.connections import Connect, Connection, camera, stream
from icnet.media.live import Live

SERVERS = pytest.mark.parametrize("server", [HttpCamera, RtspCamera])


def connecting(source: CameraServer) -> Connect:
    return stream(source.url, max_pixels=SIZE_HW[0] * SIZE_HW[1])


def readers() -> int:
    """Threads that hold a connection, or look at one."""
    return sum(thread.name.startswith(("icnet-live", "icnet-newest")) for thread in threading.enumerate())


def os_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Threads that were left in a call that hangs end by themselves."""
    yield
    deadline_s = time.monotonic() + connections.STALL_S + 1
    while readers():
        assert time.monotonic() < deadline_s, threading.enumerate()
        time.sleep(0.01)


@pytest.fixture
def fast(monkeypatch) -> None:
    """Shorter times, as long as the servers can keep them."""
    monkeypatch.setattr(connections, "STALL_S", 0.4)
    monkeypatch.setattr(connections, "OPEN_S", 0.8)
    monkeypatch.setitem(connections._OPTIONS, "analyzeduration", "100000")
    monkeypatch.setattr(live, "_PAUSES_S", (0.1, 0.3))
    monkeypatch.setattr(live, "_GRACE_S", 0.5)


class Watch(AbstractContextManager["Watch"]):
    """Somebody who looks at a live picture in a thread, and writes down when what came."""

    def __init__(self, connect: Connect, *, seconds: float | None = None):
        self.came: list[tuple[float, int, float]] = []  # monotonic time, number, time_s
        self.lines: list[tuple[float, str]] = []
        self.stop = threading.Event()
        self.live = Live(connect, "the camera", stop=self.stop, seconds=seconds, notify=self._told)
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join()
        self.live.__exit__()

    def _told(self, line: str) -> None:
        self.lines.append((time.monotonic(), line))

    def _look(self) -> None:
        for frame in self.live:
            self.came.append((time.monotonic(), number_of(frame.image), frame.time_s))

    def until(self, condition: Callable[[], bool], timeout_s: float = 10) -> float:
        """The seconds until it was so."""
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < timeout_s, f"not within {timeout_s} s; told: {self.lines}"
            time.sleep(0.005)
        return time.monotonic() - start

    def more(self, frames: int = 5, timeout_s: float = 10) -> float:
        """The seconds until so many more frames came."""
        wanted = len(self.came) + frames
        return self.until(lambda: len(self.came) >= wanted, timeout_s)

    def told(self, lines: int, timeout_s: float = 10) -> float:
        """The seconds until so many lines were told in all."""
        return self.until(lambda: len(self.lines) >= lines, timeout_s)

    def ends(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def test_frames_come_in_order_and_at_once():
    with HttpCamera() as source, Watch(connecting(source)) as watch:
        assert (watch.live.rate, watch.live.length, watch.live.finite, watch.live.drops) == (25, None, False, 0)
        watch.more(10)
        late = source.sent - watch.came[-1][1]
        numbers = [number for _, number, _ in watch.came]
        times_s = [time_s for _, _, time_s in watch.came]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert late <= RATE // 2, "the pictures are current"
    assert times_s[0] == 0
    assert times_s == sorted(times_s)
    assert watch.lines == []
    assert readers() == 0


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    ("server", "fail", "reason"),
    [
        (HttpCamera, CameraServer.drop, "the connection broke (Input/output error)"),
        (HttpCamera, CameraServer.stall, "no picture for 0.4 s"),
        (HttpCamera, CameraServer.garbage, "the connection broke (Input/output error)"),
        (RtspCamera, CameraServer.drop, "the connection ended"),
        (RtspCamera, CameraServer.stall, "no picture for 0.4 s"),
    ],
)
def test_a_loss_is_told_and_mended(server, fail, reason):
    with server() as source, Watch(connecting(source)) as watch:
        watch.more()
        fail(source)
        assert watch.told(1) < 1.5
        assert watch.lines[0][1] == f"the camera: {reason}, trying again"
        time.sleep(0.4)
        assert len(watch.lines) == 1, "one line for each loss, however many tries fail"
        source.serve()
        assert watch.more() < 6
        assert watch.lines[1][1].startswith("the camera: pictures again after ")
        assert (watch.live.drops, len(watch.lines), readers()) == (1, 2, 1)
        gap = watch.came[-1][0] - watch.came[0][0]
        assert watch.came[-1][2] == pytest.approx(gap, abs=0.2), "the time goes on while there is no picture"


@pytest.mark.usefixtures("fast")
def test_without_the_time_out_a_stall_is_not_noticed(monkeypatch):
    monkeypatch.setattr(connections, "STALL_S", 1000.0)
    with HttpCamera() as source, Watch(connecting(source)) as watch:
        watch.more()
        source.stall()
        with pytest.raises(AssertionError, match="not within"):
            watch.told(1, timeout_s=0.9)
        source.drop()


@pytest.mark.usefixtures("fast")
def test_the_time_that_the_consumer_takes_is_no_stall():
    def pictures() -> Iterator[np.ndarray]:
        yield from (draw(number) for number in range(3))  # two wait while the consumer is busy
        time.sleep(2 * live._TICK_S)
        yield draw(3)

    with Live(lambda: nullcontext(Connection(pictures())), "it", stop=threading.Event(), notify=print) as frames:
        for number, _ in enumerate(frames):
            time.sleep(2 * connections.STALL_S if number == 0 else 0)
            if number == 3:
                break
        assert frames.drops == 0


class SoundCamera(HttpCamera):
    """An MPEG transport stream with sound, which goes on when the pictures fail."""

    pictures = True

    def __init__(self):
        self._written: list[bytes] = []
        self._muxer = av.open(self, "w", format="mpegts", options={"max_interleave_delta": "1"})
        self._video = self._muxer.add_stream("mpeg2video", rate=RATE, options={"g": "12"})
        self._video.height, self._video.width = SIZE_HW
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.thread_count = 1
        self._sound = self._muxer.add_stream("mp2", rate=48000)
        super().__init__()

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def chunk(self, number: int) -> bytes:
        if self.pictures:
            picture = av.VideoFrame.from_ndarray(draw(number), format="bgr24")
            picture.pts = number
            self._muxer.mux(self._video.encode(picture))
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 48000 // RATE), np.int16), format="s16", layout="stereo")
        sound.sample_rate, sound.pts = 48000, number * 48000 // RATE
        self._muxer.mux(self._sound.encode(sound))
        chunk = b"".join(self._written)
        self._written.clear()
        return chunk

    async def greet(self, reader, writer) -> Callable[[bytes], bytes]:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n")
        return lambda chunk: chunk


@pytest.mark.usefixtures("fast")
def test_sound_without_pictures_is_a_stall():
    with SoundCamera() as source, Watch(connecting(source)) as watch:
        watch.more()
        source.pictures = False
        assert watch.told(1) < 1.5
        assert watch.lines[0][1] == "the camera: no picture for 0.4 s, trying again"
        watch.until(lambda: source.accepted > 1, 2)
        source.pictures = True
        assert watch.more() < 4


class Impatient(threading.Event):
    """A stop event that does not wait, but writes down how long it should have."""

    def __init__(self):
        super().__init__()
        self.pauses_s: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses_s.append(timeout)
        return self.is_set()


def scripted(*script: int | float | Exception) -> Connect:
    """Connections one after the other: a number of pictures, a time in seconds until it fails, an error."""
    left = iter(script)

    @contextmanager
    def connect() -> Iterator[Connection]:
        act = next(left)
        if isinstance(act, Exception):
            raise act
        if isinstance(act, float):
            time.sleep(act)
            raise InputError("refused")
        yield Connection(iter([draw(0)] * act))

    return connect


def test_pauses_grow_to_the_longest_and_shrink_again(monkeypatch):
    monkeypatch.setattr(live, "_PAUSES_S", (0.1, 0.4))
    stop, lines = Impatient(), []
    with Live(scripted(1, 0.0, 0.0, 0.0, 0.5, 0.0, 1, 0, 2), "it", stop=stop, notify=lines.append) as frames:
        for number, _ in enumerate(frames):
            if number == 2:
                stop.set()
        assert frames.drops == 2
    assert stop.pauses_s == [0.2, 0.4, 0.4, 0.4, 0.1, 0.2, 0.4, 0.4]
    assert [line.split(" after")[0] for line in lines] == [
        "it: the connection ended, trying again",
        "it: pictures again",
        "it: the connection ended, trying again",
        "it: pictures again",
    ]


def test_a_fault_of_ours_is_no_loss():
    stop = Impatient()
    with pytest.raises(ZeroDivisionError):
        Live(scripted(ZeroDivisionError()), "it", stop=stop, notify=print)
    with pytest.raises(ZeroDivisionError), Live(scripted(1, ZeroDivisionError()), "it", stop=stop, notify=print) as frames:
        list(frames)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("fail", [CameraServer.stall, CameraServer.drop])
def test_stop_and_seconds_are_obeyed_without_a_picture(fail):
    with HttpCamera() as source:
        connect = connecting(source)
        with Watch(connect) as stopped, Watch(connect, seconds=1.0) as timed:
            assert timed.live.length == 25
            timed.more()
            fail(source)
            time.sleep(0.4)
            stopped.stop.set()
            assert stopped.ends(0.4)
            assert not timed.ends(0.0)
            assert timed.ends(1.5)
        source.drop()


def test_seconds_end_a_picture_that_goes_on():
    with HttpCamera() as source, Watch(connecting(source), seconds=0.4) as watch:
        assert watch.ends(2)
    assert watch.came[-1][2] < 0.4
    assert len(watch.came) == pytest.approx(0.4 * RATE, rel=0.4)


def test_frames_have_the_shape_of_pixels_of_their_connection():
    wide = Fraction(4, 3)
    connect = nullcontext(Connection(iter([draw(0)]), pixel_aspect=wide))
    with Live(lambda: connect, "the camera", stop=threading.Event(), notify=print) as clip:
        assert next(iter(clip)).pixel_aspect == wide


def test_what_cannot_be_opened_is_one_line():
    with HttpCamera() as source:
        source.drop()
        with pytest.raises(
            InputError, match=r"^cannot open it: Connection refused; check the address, and that its server runs$"
        ):
            Live(connecting(source), "it", stop=threading.Event(), notify=print)
    with pytest.raises(InputError, match=r"^cannot open camera 99: none is connected under this number"):
        Live(camera(99), "camera 99", stop=threading.Event(), notify=print)
    assert readers() == 0


@pytest.mark.usefixtures("fast")
def test_without_a_first_picture_there_is_one_line(device):
    device.plugged = False
    device.openable = True
    with Live(camera(0), "camera 0", stop=threading.Event(), notify=print) as frames:
        with pytest.raises(InputError, match=r"^camera 0 gives no picture: no picture for 0.4 s; check"):
            list(frames)
        assert frames.drops == 0


def test_stop_is_obeyed_while_the_first_connection_hangs():
    with HttpCamera() as source:
        source.silent()
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        start = time.monotonic()
        with Live(connecting(source), "it", stop=stop, notify=print) as frames:
            assert list(frames) == []
            assert time.monotonic() - start < 0.7
            source.drop()


class Device:
    """The one camera of this machine, as OpenCV sees it."""

    def __init__(self):
        self.plugged = True
        self.openable = False  # even when it is not plugged
        self.moving = threading.Event()  # its driver hangs while this is not set
        self.moving.set()
        self.open = self.most_open = self.opened = 0

    def capture(self, number: int) -> "Capture":
        return Capture(self, good=number == 0 and (self.plugged or self.openable))


class Capture:
    """`cv2.VideoCapture`."""

    def __init__(self, device: Device, *, good: bool):
        self.device, self.good = device, good
        device.open += good
        device.opened += good
        device.most_open = max(device.most_open, device.open)

    def isOpened(self) -> bool:
        return self.good

    def get(self, _: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.01)
        self.device.moving.wait()
        return self.device.plugged, draw(7) if self.device.plugged else None

    def release(self) -> None:
        self.device.open -= self.good


@pytest.fixture
def device(monkeypatch) -> Iterator[Device]:
    device = Device()
    monkeypatch.setattr(connections.cv2, "VideoCapture", device.capture)
    yield device
    device.moving.set()


@pytest.mark.usefixtures("fast")
def test_a_camera_that_is_unplugged_for_a_while(device):
    with Watch(camera(0)) as watch:
        assert (watch.live.rate, watch.live.length, watch.live.finite) == (30, None, False)
        watch.more()
        device.plugged = False
        assert watch.told(1) < 1.5
        assert watch.lines[0][1] == "the camera: no picture for 0.4 s, trying again"
        time.sleep(0.5)
        device.plugged = True
        assert watch.more() < 1
        assert (watch.live.drops, readers(), device.open) == (1, 1, 1)
    assert (readers(), device.open, device.most_open) == (0, 0, 1)


@pytest.mark.usefixtures("fast")
def test_a_camera_is_not_opened_again_while_its_driver_hangs(device):
    with Watch(camera(0)) as watch:
        for loss in range(2):
            watch.more()
            device.moving.clear()
            assert watch.told(2 * loss + 1) < 1.5
            time.sleep(0.3)
            assert (readers(), device.open, device.opened) == (1, 1, loss + 1)
            device.moving.set()
            watch.told(2 * loss + 2)
    assert (readers(), device.open, device.most_open) == (0, 0, 1)


@pytest.mark.usefixtures("fast")
def test_leaving_does_not_wait_for_a_driver_that_hangs(device):
    with Watch(camera(0)) as watch:
        watch.more()
        device.moving.clear()
        time.sleep(0.1)
        start = time.monotonic()
    assert time.monotonic() - start < live._GRACE_S + 0.5
    device.moving.set()
    watch.until(lambda: readers() == 0)
    assert device.open == 0


@pytest.mark.usefixtures("fast")
def test_who_leaves_with_an_error_during_a_stall_is_not_kept():
    stop, left_s = threading.Event(), []

    def leave(newest: Newest) -> None:
        next(iter(newest))
        source.stall()
        time.sleep(0.2)
        left_s.append(time.monotonic())
        raise KeyError

    with HttpCamera() as source, Live(connecting(source), "it", stop=stop, notify=print) as frames:
        with pytest.raises(KeyError), Newest(frames, stop=stop) as newest:
            leave(newest)
        assert time.monotonic() - left_s[0] < 0.3
        assert not any(thread.name == "icnet-newest" for thread in threading.enumerate())


def test_the_counts_see_a_leak(device):
    with Watch(camera(0)) as watch:
        watch.more()
        before = os_threads()
        assert readers() == 1
        leaked = live._Reader(camera(0))
        watch.more()
        assert (readers(), os_threads(), device.most_open) == (2, before + 1, 2)
        assert leaked.close(1)
        watch.until(lambda: (readers(), os_threads()) == (1, before))


@pytest.mark.whole
@SERVERS
def test_twenty_losses(server):
    """With the real time-outs; while it lasts, a server is absent in any way that it knows."""
    seed = 2026
    random = np.random.default_rng(seed)
    absences = (CameraServer.drop, CameraServer.stall, CameraServer.silent, CameraServer.garbage)
    noticed_s, back_s, threads, rss = [], [], [], []
    with server() as source, Watch(connecting(source)) as watch:
        watch.more(2 * RATE)
        threads.append(os_threads())
        for loss in range(20):
            (source.stall if loss % 2 else source.drop)()
            noticed_s.append(watch.told(2 * loss + 1))
            absences[random.integers(len(absences))](source)
            time.sleep(random.uniform(0, 8))
            assert watch.live.drops == loss + 1
            assert readers() <= 1
            source.serve()
            back_s.append(watch.more(1, timeout_s=30))
            watch.more(2 * RATE)
            threads.append(os_threads())
            rss.append(rss_mb())
    print(
        f"\n{server.__name__}, seed {seed}: noticed within {max(noticed_s):.2f} s, back within {max(back_s):.2f} s, "
        f"threads {set(threads)}, MB after each {[round(size, 1) for size in rss]}"
    )
    assert max(noticed_s) < 5
    assert max(back_s) < 10
    assert watch.live.drops == 20
    assert len(watch.lines) == 40
    assert set(threads) == {threads[0]}
    assert rss[-1] - rss[2] < 30
