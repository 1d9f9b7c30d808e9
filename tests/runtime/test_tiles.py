import itertools
import subprocess
import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import openvino as ov
import pytest
from tiny_network import TINY

from icnet import Segmenter
from icnet.base.classes import CAMVID
from icnet.base.errors import InputError, UsageError
from icnet.network.openvino_model import openvino_model
from icnet.network.weights import random_weights, save_weights
from icnet.runtime.decode import decode, decode_confidence
from icnet.runtime.engine import EngineOptions
from icnet.runtime.tiles import cut_axis, segment_tiled

CELL = {"logits": 4, "soft": 1}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The tiny network with each output; a window is 96x128 pixels."""
    folder = tmp_path_factory.mktemp("tiny")
    weights = random_weights(TINY, seed=1)
    save_weights(folder / "logits.safetensors", weights)
    for output in ("soft", "index"):
        ov.save_model(openvino_model(weights, output=output), folder / f"{output}.xml", compress_to_fp16=False)
    names = {"logits": "logits.safetensors", "soft": "soft.xml", "index": "index.xml"}
    return {output: Segmenter(folder / name, EngineOptions(streams=2)) for output, name in names.items()}


class LocalEngine:
    """A network whose scores depend on the pixels of a cell only, so that it does not matter where a window lies."""

    size_hw = (48, 64)
    output = "logits"
    options = EngineOptions()

    def __init__(self, matrix: np.ndarray):
        self.matrix = matrix.astype(np.float32)
        self.windows = []

    def scores(self, frame: np.ndarray) -> np.ndarray:
        height, width = (-(-side // 4) for side in frame.shape[:2])
        whole = np.pad(frame, [(0, height * 4 - frame.shape[0]), (0, width * 4 - frame.shape[1]), (0, 0)], mode="edge")
        means = whole.reshape(height, 4, width, 4, 3).mean(axis=(1, 3), dtype=np.float32)
        return np.ascontiguousarray(((means - 100) @ self.matrix).transpose(2, 0, 1))[np.newaxis]

    def stream(self, items, data):
        for item in items:
            image = data(item)
            assert image.shape == (1, *self.size_hw, 3)
            self.windows.append(image)
            yield item, self.scores(image[0])


@pytest.fixture
def local() -> LocalEngine:
    return LocalEngine(np.random.default_rng(5).standard_normal((3, 12)) / 20)


def tiled(engine: LocalEngine, frame: np.ndarray, **options):
    return segment_tiled(SimpleNamespace(engine=engine, abstain=0, classes=CAMVID), frame, **options)


def picture(size_hw: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Noise on areas of colour."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 200, [*(side // 20 + 1 for side in size_hw), 3])
    areas = coarse.repeat(20, axis=0).repeat(20, axis=1)[: size_hw[0], : size_hw[1]]
    return (areas + generator.integers(0, 56, (*size_hw, 3))).astype(np.uint8)


def whole_map(segmenter: Segmenter, frame: np.ndarray, overlap: float, *, flat: bool = False, offset: int = 0) -> np.ndarray:
    """Blended scores of the whole picture in one array; `flat` and `offset` do it wrongly."""
    engine = segmenter.engine
    cell = CELL[engine.output]
    sizes = [-(-side // cell) for side in frame.shape[:2]]
    rows, columns = (cut_axis(size, side // cell, overlap) for size, side in zip(sizes, engine.size_hw, strict=True))
    height, width = engine.size_hw
    padded = np.pad(frame, [(0, height), (0, width), (0, 0)], mode="edge")
    sums = np.zeros((1, 12, sizes[0] + height, sizes[1] + width), np.float32)
    counts = np.zeros(sums.shape, np.float32)
    for (down, y), (across, x) in itertools.product(enumerate(rows.starts), enumerate(columns.starts)):
        raw = engine.infer(np.ascontiguousarray(padded[np.newaxis, y * cell :, x * cell :][:, :height, :width]))
        weights = np.zeros(raw.shape[2:], np.float32)
        part = rows.weights[down][:, np.newaxis] * columns.weights[across]
        weights[: part.shape[0], : part.shape[1]] = 1 if flat else part
        at = np.s_[:, :, y + offset * (down > 0) :, x:]
        sums[at][:, :, : raw.shape[2], : raw.shape[3]] += weights * raw
        counts[at][:, :, : raw.shape[2], : raw.shape[3]] += weights
    if flat:
        sums /= np.maximum(counts, 1)
    return np.ascontiguousarray(sums[:, :, : sizes[0], : sizes[1]])


def decoded(segmenter: Segmenter, scores: np.ndarray, size_hw: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Classes and confidence."""
    output = segmenter.engine.output
    classes = decode(scores, output, tuple(side * CELL[output] for side in scores.shape[2:]))
    sure = decode_confidence(scores, output, classes)
    return classes[: size_hw[0], : size_hw[1]], sure[: size_hw[0], : size_hw[1]]


def test_weights_fall_linearly_to_the_border_of_a_window():
    axis = cut_axis(10, 6, 0.4)
    assert axis.starts == [0, 4]
    assert axis.weights.tolist() == [[1, 1, 1, 1, 0.75, 0.25], [0.25, 0.75, 1, 1, 1, 1]]


@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("window", [1, 7, 24])
@pytest.mark.parametrize("cells", [1, 7, 24, 25, 61, 200])
def test_windows_cover_a_side_evenly(cells, window, overlap):
    axis = cut_axis(cells, window, overlap)
    length = min(cells, window)
    gaps = np.diff(axis.starts)
    assert axis.starts[0] == 0
    assert axis.starts[-1] + length == cells
    assert axis.weights.shape == (len(axis.starts), length)
    assert axis.weights.min() > 0
    widest = length - int(overlap * length)
    assert gaps.max(initial=1) <= widest
    assert gaps.min(initial=1) >= 1
    assert len(gaps) * widest < cells - length + widest, "one window fewer would do"
    total = np.zeros(cells)
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        total[start : start + length] += weights
    assert np.abs(total - 1).max() < 1e-6


@pytest.mark.parametrize(
    ("size_hw", "overlap"),
    [((250, 300), 0.25), ((250, 300), 0.75), ((97, 128), 0.25), ((40, 301), 0.25), ((333, 50), 0.5), ((288, 256), 0.0)],
)
@pytest.mark.parametrize("output", ["logits", "soft"])
def test_equals_the_whole_map_blended_in_one_array(models, output, size_hw, overlap):
    frame = picture(size_hw)
    before = frame.copy()
    result = segment_tiled(models[output], frame, confidence=True, overlap=overlap)
    classes, sure = decoded(models[output], whole_map(models[output], frame, overlap), size_hw)
    assert len(np.unique(classes)) > 1
    assert np.array_equal(result.classes, classes)
    assert np.array_equal(result.confidence, sure)
    assert result.frame is frame
    assert np.array_equal(frame, before)
    assert segment_tiled(models[output], frame, overlap=overlap).confidence is None


@pytest.mark.parametrize("wrong", [{"flat": True}, {"offset": 1}])
def test_the_comparison_notices_a_wrong_blend(models, wrong):
    frame = picture((250, 300))
    classes, sure = decoded(models["logits"], whole_map(models["logits"], frame, 0.25, **wrong), (250, 300))
    result = segment_tiled(models["logits"], frame, confidence=True, overlap=0.25)
    assert not np.array_equal(result.classes, classes)
    assert not np.array_equal(result.confidence, sure)


@pytest.mark.parametrize("overlap", [0, 0.25, 0.6])
@pytest.mark.parametrize("size_hw", [(200, 300), (199, 301), (49, 64), (30, 333), (333, 30)])
def test_scores_that_depend_on_nearby_pixels_only_show_no_windows(local, size_hw, overlap):
    frame = picture(size_hw)
    scores = local.scores(frame)
    full = tuple(side * 4 for side in scores.shape[2:])
    result = tiled(local, frame, confidence=True, overlap=overlap)
    expected = decode(scores, "logits", full)
    assert len(np.unique(expected)) > 3
    # Weights of float32 sum to 1 but for rounding, so two scores that are all but equal may change places.
    differs = result.classes != expected[: size_hw[0], : size_hw[1]]
    assert differs.mean() < 1e-3
    sure = decode_confidence(scores, "logits", expected)[: size_hw[0], : size_hw[1]]
    assert np.abs(result.confidence.astype(int) - sure)[~differs].max() <= 1


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_come_back_as_they_were_painted(axis):
    # Blue stripes score for class 3, red ones for class 8; their edges lie between cells.
    matrix = np.zeros((3, 12))
    matrix[0, 3] = matrix[2, 8] = 0.05
    labels = np.where(np.arange(500) // 12 % 2, 3, 8)
    labels = np.broadcast_to(labels[:, np.newaxis] if axis == 0 else labels, (500, 500))
    frame = np.zeros((500, 500, 3), np.uint8)
    frame[labels == 3, 0] = frame[labels == 8, 2] = 200
    result = tiled(LocalEngine(matrix), frame, confidence=True)
    assert np.array_equal(result.classes, labels)
    period = np.s_[24:488] if axis == 0 else np.s_[:, 24:488]
    earlier = np.s_[:464] if axis == 0 else np.s_[:, :464]
    assert np.abs(result.confidence[period].astype(int) - result.confidence[earlier])[12:-12, 12:-12].max() <= 1


def test_a_constant_picture_has_one_class_and_one_confidence(local):
    result = tiled(local, np.full((201, 302, 3), (200, 30, 90), np.uint8), confidence=True)
    assert len(np.unique(result.classes)) == 1
    assert np.ptp(result.confidence) <= 1


def test_windows_repeat_the_last_row_and_column_beyond_the_picture(local):
    frame = picture((30, 130))
    tiled(local, frame, overlap=0)
    padded = np.pad(frame, [(0, 18), (0, 2), (0, 0)], mode="edge")
    expected = [padded[:, start : start + 64] for start in (0, 32, 68)]
    assert [window[0].tolist() for window in local.windows] == [window.tolist() for window in expected]


@pytest.mark.parametrize("output", ["logits", "soft"])
@pytest.mark.parametrize("size_hw", [(96, 128), (61, 33), (96, 50)])
def test_a_picture_that_fits_into_the_network_is_segmented_as_usual(models, output, size_hw):
    frame = picture(size_hw)
    result, usual = segment_tiled(models[output], frame, confidence=True), models[output](frame, confidence=True)
    assert np.array_equal(result.classes, usual.classes)
    assert np.array_equal(result.confidence, usual.confidence)


@pytest.mark.parametrize("size_hw", [(40, 40), (200, 200)])
def test_refuses_what_it_cannot_blend(models, size_hw):
    with pytest.raises(UsageError, match="cannot be blended: use one whose output is soft or logits") as caught:
        segment_tiled(models["index"], picture(size_hw))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"from 0 to 0\.9"):
        segment_tiled(models["logits"], picture(size_hw), overlap=1)
    with pytest.raises(InputError, match="a frame must be"):
        segment_tiled(models["logits"], picture(size_hw)[..., 0])


def test_an_engine_at_work_is_told_and_left_alone(models):
    frame = picture((200, 200))
    stream = models["logits"].stream([1, 2], lambda _: frame)
    next(stream)
    with pytest.raises(UsageError, match="exhaust or close"):
        segment_tiled(models["logits"], frame)
    assert len(list(stream)) == 1
    segment_tiled(models["logits"], frame)


def test_memory_beside_the_maps_does_not_grow_with_the_height(local):
    def peak(height: int) -> int:
        frame = np.zeros((height, 100, 3), np.uint8)
        local.windows.clear()
        tracemalloc.start()
        result = tiled(local, frame, confidence=True)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most - 2 * result.classes.nbytes - sum(window.nbytes for window in local.windows)

    short, tall = peak(300), peak(6000)
    assert tall < short * 1.2, (short, tall)


MEASURE = """
import resource
import numpy as np
from icnet import Segmenter
from icnet.runtime.tiles import segment_tiled

frame = np.tile(np.random.default_rng(0).integers(0, 256, (750, 1000, 3), dtype=np.uint8), (8, 8, 1))
assert segment_tiled(Segmenter(), frame).classes.shape == (6000, 8000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.whole
def test_a_picture_of_48_megapixels_needs_less_than_a_gigabyte():
    result = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 1_000_000, "KiB"
