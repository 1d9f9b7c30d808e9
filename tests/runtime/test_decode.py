import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from icnet.base.errors import UsageError
from icnet.runtime import kernels
from icnet.runtime.decode import decode, decode_confidence

SIZES = [(16, 24), (64, 96), (61, 97), (9, 13), (1, 1), (200, 7)]


@pytest.fixture(params=["compiled", "NumPy"], autouse=True)
def kernel(request, monkeypatch) -> None:
    """Both ways of doing it."""
    if request.param == "NumPy":
        monkeypatch.setattr(kernels, "_library", lambda: None)
    elif not kernels.compiled():
        pytest.skip("the package was built without a C compiler")


def full_size(scores: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    return np.stack([cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_LINEAR) for plane in scores])


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 12, 16, 24)).astype(np.float32)


def areas() -> np.ndarray:
    """Scores as a network gives them: large areas of one class."""
    small = np.random.default_rng(1).standard_normal((6, 8, 12)).astype(np.float32) * 8
    return np.ascontiguousarray(cv2.resize(small, (240, 180), interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1))[np.newaxis]


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("output", ["logits", "soft"])
def test_equals_argmax_of_the_resized_scores(size_hw, output):
    raw = noise()
    before = raw.copy()
    classes = decode(raw, output, size_hw)
    assert classes.dtype == np.uint8
    assert np.array_equal(classes, full_size(raw[0], size_hw).argmax(axis=0))
    assert np.array_equal(raw, before)


@pytest.mark.parametrize("count", [2, 5, 13, 64, 255])
def test_any_number_of_classes(count):
    raw = np.random.default_rng(count).standard_normal((1, count, 16, 24)).astype(np.float32)
    full = full_size(raw[0], (61, 97))
    classes = decode(raw, "logits", (61, 97))
    assert np.array_equal(classes, full.argmax(axis=0))
    assert classes.max() == count - 1
    exact = 255 / np.exp(full - full.max(axis=0)).sum(axis=0)
    assert np.abs(decode_confidence(raw, "logits", classes) - exact).max() <= 0.51


@pytest.mark.parametrize("size_hw", [(720, 960), (1080, 1920), (333, 555)])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_differs_from_opencv_only_where_two_classes_are_equal(size_hw, threads):
    raw = areas()
    full = full_size(raw[0], size_hw)
    best = np.sort(full, axis=0)
    clear = best[-1] - best[-2] > 1e-5
    assert clear.mean() > 0.999
    expected = full.argmax(axis=0)
    assert len(np.unique(expected)) > 5
    assert np.array_equal(decode(raw, "logits", size_hw, threads=threads)[clear], expected[clear])


def test_places_a_boundary_between_pixel_centres():
    # Two classes on two columns, 0:10 against 30:0. Widened to eight, the columns lie at -0.375, -0.125, ... 1.375 of the
    # source, clipped to its centres; the scores cross at 10/40 = 0.25, between the third (0.125) and the fourth (0.375) column.
    raw = np.full((1, 12, 1, 2), -100, np.float32)
    raw[0, 3, 0], raw[0, 5, 0] = (10, 0), (0, 30)
    assert decode(raw, "logits", (1, 8)).tolist() == [[3, 3, 3, 5, 5, 5, 5, 5]]


def test_a_third_class_wins_between_two_others():
    raw = np.full((1, 12, 1, 2), -100, np.float32)
    raw[0, 3, 0], raw[0, 5, 0], raw[0, 7, 0] = (10, 0), (0, 10), (8, 8)
    assert decode(raw, "logits", (1, 8)).tolist() == [[3, 3, 3, 7, 7, 5, 5, 5]]


def test_lowest_of_equal_scores_wins():
    assert not decode(np.zeros((1, 12, 4, 4), np.float32), "soft", (8, 8)).any()


def test_index_maps_are_never_interpolated():
    raw = np.array([[[0, 11], [11, 0]]], np.int32)
    assert decode(raw, "index", (2, 2)).tolist() == raw[0].tolist()
    assert decode(raw, "index", (4, 4)).tolist() == np.kron(raw[0], np.ones((2, 2), int)).tolist()
    assert decode(raw, "index", (4, 4)).dtype == np.uint8


@pytest.mark.parametrize("size_hw", [(64, 96), (61, 97), (9, 13), (180, 240)])
def test_confidence_is_the_softmax_of_the_resized_logits(size_hw):
    raw = noise() * 6
    full = full_size(raw[0], size_hw)
    powers = np.exp(full - full.max(axis=0))
    expected = 255 * powers.max(axis=0) / powers.sum(axis=0)
    found = decode_confidence(raw, "logits", decode(raw, "logits", size_hw))
    assert found.dtype == np.uint8
    assert expected.std() > 20, "the comparison needs confidences that differ"
    assert np.abs(found - expected).max() <= 0.51


def test_confidence_of_far_apart_and_of_equal_logits():
    raw = np.zeros((1, 12, 2, 2), np.float32)
    assert (decode_confidence(raw, "logits", np.zeros((4, 4), np.uint8)) == 21).all()  # 255 / 12 = 21.25
    raw[0, 4] = 1e4
    assert (decode_confidence(raw, "logits", np.full((4, 4), 4, np.uint8)) == 255).all()


def test_confidence_of_probabilities_is_the_probability():
    raw = np.full((1, 12, 2, 2), 0.2 / 11, np.float32)
    raw[0, 4] = 0.8
    assert (decode_confidence(raw, "soft", np.full((3, 5), 4, np.uint8)) == 204).all()


def test_an_index_map_tells_no_confidence():
    with pytest.raises(UsageError, match="soft or logits"):
        decode_confidence(np.zeros((1, 2, 2), np.int32), "index", np.zeros((2, 2), np.uint8))


@pytest.mark.parametrize("change", [lambda c: c.astype(np.int64), np.asfortranarray, lambda c: c[::-1][::-1]])
def test_confidence_takes_classes_of_any_kind(change):
    raw = noise() * 4
    classes = decode(raw, "logits", (61, 97))
    expected = decode_confidence(raw, "logits", classes)
    assert np.array_equal(decode_confidence(raw, "logits", change(classes)), expected)


def test_confidence_of_a_class_that_is_far_from_the_best():
    raw = np.zeros((1, 12, 2, 2), np.float32)
    raw[0, 4] = 500
    assert (decode_confidence(raw, "logits", np.full((4, 4), 3, np.uint8)) == 0).all()


def test_a_library_of_another_source_is_not_used(monkeypatch, tmp_path):
    if not kernels.compiled():
        pytest.skip("the package was built without a C compiler")
    for path in Path(kernels.__file__).parent.glob("*kernels.*"):
        if path.is_file():
            shutil.copy(path, tmp_path)
    monkeypatch.setattr(kernels, "__file__", str(tmp_path / "kernels.py"))
    load = kernels._library.__wrapped__
    assert load() is not None
    with (tmp_path / "kernels.c").open("a") as source:
        source.write("/* newer */")
    assert load() is None
