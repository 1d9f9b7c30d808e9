import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from icnet import Segmenter
from icnet.base.classes import CAMVID
from icnet.base.errors import InputError, UsageError
from icnet.network.weights import random_weights, save_weights
from icnet.runtime.decode import decode, decode_confidence
from icnet.runtime.engine import EngineOptions
from icnet.runtime.preprocess import resize_frame
from icnet.runtime.segmenter import Segmentation
from icnet.runtime.smooth import Smoother
from icnet.runtime.tiles import segment_tiled


@pytest.fixture
def path(tiny, tmp_path) -> Path:
    file = tmp_path / "tiny.safetensors"
    save_weights(file, random_weights(tiny, seed=1))
    return file


@pytest.fixture
def segmenter(path) -> Segmenter:
    return Segmenter(path)


@pytest.mark.parametrize("size_hw", [(96, 128), (360, 480), (61, 33), (1, 1)])
def test_class_map_has_the_size_of_the_frame(segmenter, size_hw):
    frame = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    before = frame.copy()
    result = segmenter(frame)
    assert result.classes.shape == size_hw
    assert result.classes.dtype == np.uint8
    assert result.overlay().shape == (*size_hw, 3)
    raw = segmenter.engine.infer(resize_frame(frame, (96, 128)))
    assert np.array_equal(result.classes, decode(raw, "logits", size_hw))
    assert np.array_equal(frame, before)
    assert result.frame is frame


def test_refuses_a_grey_picture(segmenter):
    with pytest.raises(InputError, match="a frame must be"):
        segmenter(np.zeros((96, 128), np.uint8))


def test_shares_are_fractions_of_the_pixels():
    classes = np.array([[0, 0, 3, 11]], np.uint8)
    shares = Segmentation(np.zeros((1, 4, 3), np.uint8), classes, CAMVID).shares()
    assert tuple(shares) == CAMVID.names
    assert {name: share for name, share in shares.items() if share} == {"Sky": 0.5, "Road": 0.25, "Unlabeled": 0.25}


def test_overlay_passes_its_options_on():
    frame = np.full((100, 200, 3), 50, np.uint8)
    result = Segmentation(frame, np.full((100, 200), 3, np.uint8), CAMVID)
    assert np.array_equal(result.overlay(opacity=0, legend=False), frame)
    assert not np.array_equal(result.overlay(opacity=0), frame)  # the legend
    assert not np.array_equal(result.overlay(legend=False), frame)  # the colours


def test_a_stream_gives_what_calls_give_and_asks_once_for_each_frame(segmenter):
    frames = [np.random.default_rng(seed).integers(0, 256, (61, 33, 3), dtype=np.uint8) for seed in range(5)]
    expected = [segmenter(frame, confidence=True) for frame in frames]
    asked = []
    results = list(segmenter.stream(range(6), lambda n: asked.append(n) or (frames[n] if n < 5 else None), confidence=True))
    assert asked == [0, 1, 2, 3, 4, 5]
    assert [number for number, _ in results] == asked
    assert results[5][1] is None
    for (number, result), wanted in zip(results[:5], expected, strict=True):
        assert result.frame is frames[number]
        assert np.array_equal(result.classes, wanted.classes)
        assert np.array_equal(result.confidence, wanted.confidence)


def test_confidence_on_request(segmenter):
    frame = np.random.default_rng(0).integers(0, 256, (61, 33, 3), dtype=np.uint8)
    assert segmenter(frame).confidence is None
    sure = segmenter(frame, confidence=True).confidence
    assert sure.shape == (61, 33)
    assert sure.dtype == np.uint8
    assert sure.min() >= 21, "no class of twelve wins with less than a twelfth"


def test_a_smoother_gets_what_the_network_got_from_calls_and_streams(segmenter):
    # A picture that fades into another, so that the network's scores change more than the picture.
    first, last = (np.random.default_rng(seed).integers(0, 256, (61, 33, 3), dtype=np.uint8) for seed in range(2))
    frames = [cv2.addWeighted(first, 1 - number / 50, last, number / 50, 0) for number in range(6)]
    smoother, expected = Smoother(), []
    for frame in frames:
        data = resize_frame(frame, (96, 128))
        raw = smoother(data, segmenter.engine.infer(data))
        expected.append((decode(raw, "logits", (61, 33)), raw))
    called, streamed = Smoother(), Smoother()
    calls = [segmenter(frame, confidence=True, smoother=called) for frame in frames]
    stream = [result for _, result in segmenter.stream(frames, lambda frame: frame, confidence=True, smoother=streamed)]
    for number, (classes, raw) in enumerate(expected):
        for result in (calls[number], stream[number]):
            assert np.array_equal(result.classes, classes)
            assert np.array_equal(result.confidence, decode_confidence(raw, "logits", classes))
    plain = [segmenter(frame, confidence=True) for frame in frames]
    assert any(not np.array_equal(one.confidence, other.confidence) for one, other in zip(plain, calls, strict=True))


def test_a_smoothed_stream_passes_items_without_a_frame(segmenter):
    frame = np.random.default_rng(0).integers(0, 256, (61, 33, 3), dtype=np.uint8)
    results = list(segmenter.stream([frame, None, frame], lambda item: item, smoother=Smoother()))
    assert [result is None for _, result in results] == [False, True, False]


def test_it_abstains_where_it_is_not_sure(segmenter, path):
    frame = np.random.default_rng(0).integers(0, 256, (61, 93, 3), dtype=np.uint8)
    plain = segmenter(frame, confidence=True)
    least = (int(np.median(plain.confidence)) + 0.5) / 255
    unsure = plain.confidence < 255 * least
    assert 0.2 < unsure.mean() < 0.8
    expected = np.where(unsure, CAMVID.names.index("Unlabeled"), plain.classes)
    found = segmenter(frame, abstain=least)
    np.testing.assert_array_equal(found.classes, expected)
    assert found.confidence is None
    shy = Segmenter(path, abstain=least)
    np.testing.assert_array_equal(shy(frame).classes, expected)
    np.testing.assert_array_equal(shy(frame, abstain=0).classes, plain.classes)
    ((_, streamed),) = shy.stream([frame], lambda item: item, confidence=True)
    np.testing.assert_array_equal(streamed.classes, expected)
    np.testing.assert_array_equal(streamed.confidence, plain.confidence)
    large = np.tile(frame, (3, 3, 1))
    tiled, shy_tiled = (segment_tiled(one, large, confidence=True) for one in (segmenter, shy))
    np.testing.assert_array_equal(shy_tiled.classes == CAMVID.names.index("Unlabeled"), tiled.confidence < 255 * least)
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(UsageError, match="from 0 to 1"):
            segmenter(frame, abstain=wrong)


def test_a_pickle_and_a_copy_load_the_model_again(path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)
    segmenter = Segmenter(path.name, EngineOptions(threads=1, size_hw=(64, 96)), abstain=0.1)
    frame = np.random.default_rng(0).integers(0, 256, (61, 33, 3), dtype=np.uint8)
    monkeypatch.chdir("/")
    for other in (pickle.loads(pickle.dumps(segmenter)), copy.deepcopy(segmenter)):
        assert other.engine is not segmenter.engine
        assert (other.engine.options, other.abstain) == (segmenter.engine.options, 0.1)
        np.testing.assert_array_equal(other(frame).classes, segmenter(frame).classes)
    assert b"icnet-lite-int8" in pickle.dumps(Segmenter()), "a published name stays a name"


USES = {
    "a call": "segmenter(frame)",
    "a stream": "next(segmenter.stream([frame], lambda frame: frame))",
    "another model": "Segmenter(sys.argv[1])",
    "a copy": "pickle.loads(pickle.dumps(segmenter))",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.parametrize("use", USES)
def test_a_fork_is_told_instead_of_waiting_for_ever(path, use):
    code = f"""
import os, pickle, sys
import numpy as np
from icnet import Segmenter, UsageError
from icnet.runtime.decode import decode
segmenter, frame = Segmenter(sys.argv[1]), np.zeros((96, 128, 3), np.uint8)
segmenter(frame)
if os.fork() == 0:
    decode(np.zeros((1, 12, 24, 32), np.float32), "logits", (96, 128), threads=2)
    try:
        {USES[use]}
    except UsageError as error:
        print(error)
    sys.exit()
_, status = os.wait()
segmenter(frame)
sys.exit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "load the first model in the child, or start children" in done.stdout
