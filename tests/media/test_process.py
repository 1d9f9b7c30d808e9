import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from icnet import Segmenter
from icnet.base.errors import InputError
from icnet.base.weights import random_weights, save_weights
from icnet.media import readers
from icnet.media.jobs import plan
from icnet.media.process import process
from icnet.media.sinks import video_sink
from icnet.media.sources import Source, expand


@pytest.fixture
def segmenter(tiny, tmp_path) -> Segmenter:
    save_weights(tmp_path / "w.safetensors", random_weights(tiny))
    return Segmenter(tmp_path / "w.safetensors")


def test_progress_of_a_video(segmenter, tmp_path):
    with video_sink(tmp_path / "v.mp4", rate=Fraction(10)) as video:
        for number in range(3):
            video.write(np.zeros((48, 64, 3), np.uint8), number / 10)
    (job,) = plan(expand([str(tmp_path / "v.mp4")]), tmp_path / "out")
    calls = []
    tally = process(segmenter, job, lambda tally, length: calls.append((tally.frames, length)), stop=threading.Event())
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert (tally.frames, tally.size_hw) == (3, (48, 64))
    assert tally.seconds > 0


class Capture:
    def __init__(self, number: int):
        pass

    def isOpened(self) -> bool:
        return True

    def get(self, _: int) -> float:
        return 0.0  # many drivers do not tell the rate

    def release(self) -> None:
        pass


def test_a_recording_that_is_stopped_at_once_leaves_no_file(segmenter, tmp_path, monkeypatch):
    monkeypatch.setattr(readers.cv2, "VideoCapture", Capture)
    stop = threading.Event()
    stop.set()
    (job,) = plan([Source("0", "camera", Path())], tmp_path / "out")
    with pytest.raises(InputError, match="gave no frame"):
        process(segmenter, job, lambda tally, length: None, stop=stop)
    assert list((tmp_path / "out").iterdir()) == []
