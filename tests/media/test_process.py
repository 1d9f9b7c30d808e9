import threading
import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clip_files import turn, write_clip
from PIL import Image

from icnet import Segmenter
from icnet.base.classes import CAMVID
from icnet.base.errors import InputError, OutputError
from icnet.media import connections, remote
from icnet.media.jobs import Job, plan
from icnet.media.process import ProcessOptions, process_clip, process_images
from icnet.media.sinks import video_sink
from icnet.media.sources import Source, expand
from icnet.media.stats import Tally
from icnet.media.video import Video
from icnet.network.weights import random_weights, save_weights
from icnet.pictures.reading import read_image
from icnet.results.png import write_png
from icnet.results.style import Style
from icnet.runtime.engine import EngineOptions


@pytest.fixture
def segmenter(tiny, tmp_path) -> Segmenter:
    save_weights(tmp_path / "w.safetensors", random_weights(tiny))
    return Segmenter(tmp_path / "w.safetensors", EngineOptions(streams=2))


def picture(number: int) -> np.ndarray:
    areas = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(areas, (64, 48), interpolation=cv2.INTER_CUBIC)


def video(path: Path, frames: int) -> Job:
    with video_sink(path, rate=Fraction(10)) as sink:
        for number in range(frames):
            sink.write(picture(number), number / 10)
    (job,) = plan(expand([str(path)]), path.parent / "out", forms=("classes",))
    return job


def clip(segmenter, job: Job, advance=lambda tally, length: None, *, stop: threading.Event | None = None, **options) -> Tally:
    told = options.pop("notify", lambda line: None)
    return process_clip(
        segmenter, job, ProcessOptions(Style(CAMVID), notify=told, **options), advance=advance, stop=stop or threading.Event()
    )


def test_progress_of_a_video(segmenter, tmp_path):
    job = video(tmp_path / "v.mp4", 3)
    calls = []
    tally = clip(segmenter, job, lambda tally, length: calls.append((tally.frames, length)))
    assert [frames for frames, _ in calls] == [1, 2, 3]
    assert {length for _, length in calls} == {3}
    assert (tally.frames, tally.size_hw, tally.dropped) == (3, (48, 64), 0)
    assert tally.seconds > 0


def test_every_frame_of_a_video_has_its_own_map_in_its_order(segmenter, tmp_path):
    job = video(tmp_path / "v.mp4", 25)
    clip(segmenter, job)
    with Video(str(tmp_path / "v.mp4")) as frames:
        expected = [segmenter(frame.image).classes for frame in frames]
    maps = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(job.paths["classes"].iterdir())]
    assert len(maps) == 25
    assert all(np.array_equal(one, other) for one, other in zip(maps, expected, strict=True))
    assert len({one.tobytes() for one in maps}) > 20, "the comparison needs maps that differ"


@pytest.mark.parametrize(
    ("name", "codec", "turned"),
    [
        ("v.mp4", "libx264", 0),
        ("v.mkv", "libx264", 0),
        ("v.mpg", "mpeg2video", 0),
        ("v.ts", "libx264", 0),
        ("v.mp4", "libx264", 1),
    ],
)
def test_a_video_keeps_the_shape_of_its_pixels(segmenter, tmp_path, name, codec, turned):
    wide = Fraction(4, 3)  # pixels of a picture of 64x48 that is shown as 16:9
    write_clip(tmp_path / name, range(3), codec=codec, time_base=Fraction(1, 25), pixel_aspect=wide)
    if turned:
        turn(tmp_path / name, 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    (job,) = plan(expand([str(tmp_path / name)]), tmp_path / "out", forms=("overlay", "colour", "classes", "palette"))
    clip(segmenter, job)
    for folder in (job.paths["classes"], job.paths["palette"]):
        with Image.open(folder / "000002.png") as still:
            still.verify()
            x, y = still.info["aspect"]
            assert Fraction(y, x) == (1 / wide if turned else wide)
    for path in (job.paths["overlay"], job.paths["colour"]):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == ((48, 64) if turned else (64, 48))
            shapes = stream.sample_aspect_ratio, next(container.decode(stream)) and stream.codec_context.sample_aspect_ratio
            assert shapes == ((1 / wide,) * 2 if turned else (wide,) * 2), "of the container and of the codec"


def test_a_video_that_breaks_off_leaves_threads_and_segmenter_free(segmenter, tmp_path):
    job = video(tmp_path / "v.mp4", 25)
    before = threading.active_count()

    def fail(tally, length):
        raise OutputError("full")

    try:
        clip(segmenter, job, fail)
    except OutputError:  # while it is held, so is everything on the stack that it came from
        assert segmenter(picture(0)).classes.shape == (48, 64)
    else:
        pytest.fail("the error was lost")
    assert threading.active_count() <= before + 1  # the decoder's pool stays


def image_jobs(folder: Path, count: int) -> list[Job]:
    for number in range(count):
        write_png(folder / "in" / f"{number:02}.png", picture(number))
    return plan(expand([str(folder / "in")]), folder / "out", forms=("classes",))


def test_pictures_in_their_order_with_the_bad_ones_told(segmenter, tmp_path):
    image_jobs(tmp_path, 9)
    for number in (0, 4, 5, 8):
        (tmp_path / "in" / f"{number:02}.png").write_bytes(b"broken")
    jobs = plan(expand([str(tmp_path / "in")]), tmp_path / "out", forms=("classes",))
    results = list(process_images(segmenter, jobs, ProcessOptions(Style(CAMVID))))
    assert [job for job, _ in results] == jobs
    assert [index for index, (_, result) in enumerate(results) if isinstance(result, InputError)] == [0, 4, 5, 8]
    for number in (1, 2, 3, 6, 7):
        found = cv2.imread(str(tmp_path / "out" / f"{number:02}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(found, segmenter(picture(number)).classes)
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_pictures_are_not_read_far_ahead(segmenter, tmp_path, monkeypatch):
    jobs, read = image_jobs(tmp_path, 20), []
    monkeypatch.setattr(remote, "read_image", lambda path, **limit: read.append(path) or read_image(path, **limit))
    with closing(process_images(segmenter, jobs, ProcessOptions(Style(CAMVID)))) as results:
        next(results)
        time.sleep(0.2)
        assert len(read) < 10
    assert segmenter(picture(0)).classes.shape == (48, 64), "the segmenter is free again"


class Capture:
    def __init__(self, number: int):
        self.given = 0

    def isOpened(self) -> bool:
        return True

    def get(self, _: int) -> float:
        return 0.0  # many drivers do not tell the rate

    def read(self):
        self.given += 1
        time.sleep(0.002)
        return True, np.full((48, 64, 3), self.given % 256, np.uint8)

    def release(self) -> None:
        pass


def test_a_recording_that_is_stopped_at_once_leaves_no_file(segmenter, tmp_path, monkeypatch):
    monkeypatch.setattr(connections.cv2, "VideoCapture", Capture)
    stop = threading.Event()
    stop.set()
    (job,) = plan([Source("0", "camera", Path())], tmp_path / "out")
    with pytest.raises(InputError, match="gave no frame"):
        clip(segmenter, job, stop=stop)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_a_camera_that_is_too_fast_drops_frames_and_counts_them(segmenter, tmp_path, monkeypatch):
    monkeypatch.setattr(connections.cv2, "VideoCapture", Capture)
    (job,) = plan([Source("0", "camera", Path())], tmp_path / "out")
    stop = threading.Event()

    def slow(tally: Tally, length: int | None) -> None:
        time.sleep(0.01)
        if tally.frames == 15:
            stop.set()

    tally = clip(segmenter, job, slow, stop=stop)
    assert tally.frames >= 15
    assert tally.dropped > 0
    assert not tally.cut, "a recording has no end that it could miss"
