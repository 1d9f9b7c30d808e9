"""The synthetic street as a dataset."""

import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.base.errors import UsageError
from icnet.base.sample import Dataset
from icnet.street.drive import BONNET_EVERY, StreetDrive, StreetOptions, StreetSet
from icnet.street.lens import _noise, expose

SMALL = (180, 240)
SKY, ROAD, VEHICLE = (CAMVID.names.index(name) for name in ("Sky", "Road", "Vehicle"))


@pytest.fixture(scope="module")
def drive() -> StreetDrive:
    return StreetDrive(StreetOptions(size_hw=SMALL))


def shares(labels: np.ndarray) -> np.ndarray:
    return np.bincount(labels.ravel(), minlength=len(CAMVID.names)) / labels.size


def test_default_drive_is_eight_seconds_of_720x960_at_15_fps() -> None:
    drive: Dataset = StreetDrive()
    assert len(drive) == 120
    sample = drive[0]
    assert sample.name == "street_000_0000"
    assert sample.image.shape == (720, 960, 3)
    assert sample.image.dtype == np.uint8
    assert sample.labels.shape == (720, 960)
    assert sample.labels.dtype == np.uint8


def test_every_scored_class_occurs_and_void_is_rare(drive: StreetDrive) -> None:
    total = np.zeros(len(CAMVID.names))
    for index in range(0, len(drive), 10):
        labels = drive[index].labels
        assert labels.max() < len(CAMVID.names)
        assert len(np.unique(labels)) >= 9, f"frame {index} shows too little"
        total += shares(labels) / 12
    assert (total[: len(CAMVID.scored)] > 0.001).all(), dict(zip(CAMVID.names, total, strict=True))
    assert total[CAMVID.void] < 0.02
    # The order of the classes by area is that of a road scene.
    assert 0.2 < total[ROAD] < 0.5
    assert 0.1 < total[SKY] < 0.3


def test_random_access_gives_what_sequential_reading_gives() -> None:
    options = StreetOptions(seed=5, size_hw=SMALL)
    forwards, other = StreetDrive(options), StreetDrive(options)
    sequence = [forwards[index] for index in range(6)]
    for index in (4, 0, 5, 2):
        again = other[index]
        assert again.name == sequence[index].name
        np.testing.assert_array_equal(again.image, sequence[index].image)
        np.testing.assert_array_equal(again.labels, sequence[index].labels)


def test_another_process_renders_the_same_pixels(drive: StreetDrive) -> None:
    code = (
        "import zlib; from icnet.street.drive import *;"
        f"s = StreetDrive(StreetOptions(size_hw={SMALL}))[7];"
        "print(zlib.crc32(s.image.tobytes()), zlib.crc32(s.labels.tobytes()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    sample = drive[7]
    assert [int(value) for value in out] == [zlib.crc32(sample.image.tobytes()), zlib.crc32(sample.labels.tobytes())]


@pytest.mark.parametrize("seed", [0, 1, BONNET_EVERY - 1])
def test_class_map_is_exact(seed: int) -> None:
    drive = StreetDrive(StreetOptions(seed=seed, size_hw=(360, 480)))
    flat = drive._paint(40, flat=True)
    np.testing.assert_array_equal(flat.image, CAMVID.palette_rgb[flat.labels][..., ::-1])
    # The picture itself is painted on the same places.
    np.testing.assert_array_equal(flat.labels, drive[40].labels)


def test_edges_of_the_finished_picture_are_edges_of_the_class_map() -> None:
    drive = StreetDrive(StreetOptions(size_hw=(360, 480), noise=0))
    hits = 0
    for index in (0, 30, 60, 90):
        sample = drive[index]
        grey = cv2.cvtColor(sample.image, cv2.COLOR_BGR2GRAY).astype(int)
        jump = np.argmax(np.abs(np.diff(grey, axis=0)), axis=0)  # the strongest step down each column
        edge = sample.labels[:-1] != sample.labels[1:]
        near_edge = cv2.dilate(edge.astype(np.uint8), np.ones((3, 1), np.uint8)) > 0
        under_sky = sample.labels[np.maximum(jump - 2, 0), np.arange(480)] == SKY
        hits += near_edge[jump, np.arange(480)][under_sky].mean() / 4
    assert hits > 0.9


def test_sky_lies_above_the_horizon_and_road_below(drive: StreetDrive) -> None:
    for index in (0, 50, 119):
        labels = drive[index].labels
        assert not (labels[: SMALL[0] * 4 // 10] == ROAD).any()
        assert not (labels[SMALL[0] * 6 // 10 :] == SKY).any()
        assert (labels[-20:] == ROAD).mean() > 0.3


def test_near_things_move_more_than_far_ones() -> None:
    # At 120 frames per second the camera moves 7.5 cm, so that optical flow can follow the nearest asphalt.
    drive = StreetDrive(StreetOptions(size_hw=(360, 480), fps=120, seconds=1, noise=0))
    first, second = (cv2.cvtColor(drive[index].image, cv2.COLOR_BGR2GRAY) for index in (0, 1))
    flow = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 21, 3, 5, 1.1, 0)  # type: ignore[call-overload]
    downwards = flow[..., 1]
    near, far = np.median(downwards[300:, 140:340]), np.median(np.abs(downwards[170:190, 200:300]))
    assert near > 1.5
    assert near > 4 * far
    assert len(np.unique([drive[index].labels.tobytes() for index in (0, 60)])) == 2


@pytest.mark.parametrize("size_hw", [(360, 480), (97, 129), (240, 320)])
def test_another_size_shows_the_same_scene(drive: StreetDrive, size_hw: tuple[int, int]) -> None:
    other = StreetDrive(StreetOptions(size_hw=size_hw))[20]
    assert other.labels.shape == size_hw
    np.testing.assert_allclose(shares(other.labels), shares(drive[20].labels), atol=0.02)


def test_a_wide_size_shows_a_part_of_the_view(drive: StreetDrive) -> None:
    wide, full = StreetDrive(StreetOptions(size_hw=(90, 240)))[20].labels, drive[20].labels
    assert (wide == full[45:135]).mean() > 0.98


def test_noise_is_the_only_difference_between_noise_levels() -> None:
    clean, noisy = (StreetDrive(StreetOptions(size_hw=SMALL, noise=noise))[3] for noise in (0.0, 6.0))
    np.testing.assert_array_equal(clean.labels, noisy.labels)
    inner = (clean.image > 40) & (clean.image < 200)
    assert 5 < (noisy.image.astype(int) - clean.image)[inner].std() < 7


def test_noise_is_drawn_once_for_all_its_levels() -> None:
    _noise.cache_clear()
    grey = np.full((40, 60, 3), 128, dtype=np.uint8)
    for level in (2.0, 4.0):
        expose(grey, np.random.default_rng(1), exposure=1, noise=level)
    assert _noise.cache_info().misses == 1


def test_seeds_give_different_streets() -> None:
    one, two = (StreetDrive(StreetOptions(seed=seed, size_hw=SMALL))[0] for seed in (0, 4))
    assert (one.labels != two.labels).mean() > 0.05


def test_set_of_independent_scenes() -> None:
    scenes: Dataset = StreetSet(3, seed=2, size_hw=SMALL)
    samples = [scenes[index] for index in range(len(scenes))]
    assert len({sample.name for sample in samples}) == 3
    assert (samples[0].labels != samples[1].labels).mean() > 0.05
    np.testing.assert_array_equal(scenes[0].image, samples[0].image)
    assert (StreetSet(3, seed=3, size_hw=SMALL)[0].labels != samples[0].labels).mean() > 0.05


def test_iteration_ends_and_negative_indices_count_from_the_end() -> None:
    drive = StreetDrive(StreetOptions(size_hw=(48, 64), seconds=0.2))
    assert [sample.name[-4:] for sample in drive] == ["0000", "0001", "0002"]  # type: ignore[attr-defined]
    assert drive[-1].name == "street_000_0002"
    with pytest.raises(IndexError, match="index 3 of a street with 3 images"):
        drive[3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_hw": (16, 960)}, "16x960.*at least 32x32"),
        ({"fps": 0.0}, "no frame"),
        ({"seconds": -1.0}, "no frame"),
        ({"seed": -1}, "seed -1"),
        ({"noise": -0.5}, "noise -0.5"),
        ({"camera_m": 0.0}, "camera_m 0.0"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        StreetOptions(**options)
    assert "\n" not in str(caught.value)


def test_wrong_set_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 scene"):
        StreetSet(0)


def test_street_needs_opencv_and_numpy_only() -> None:
    heavy = ("keras", "tensorflow", "openvino", "torch", "jax")
    code = f"import sys; import icnet.street.drive; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.home()).stdout
    assert out.strip() == "[]"
