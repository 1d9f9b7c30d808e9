import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.runtime.overlay import colour_map, draw_overlay

FRAME = np.random.default_rng(0).integers(0, 256, (360, 480, 3), dtype=np.uint8)


def bands(classes: list[int]) -> np.ndarray:
    return np.repeat(np.array(classes, np.uint8), 360 // len(classes))[:, None].repeat(480, axis=1)


def has_swatch(picture: np.ndarray, index: int) -> bool:
    return bool((picture == CAMVID.palette_rgb[index][::-1]).all(axis=2).sum() > 40)  # the rim of a letter has a few grey pixels


def test_colours_are_the_palette_in_bgr():
    classes = np.arange(12, dtype=np.uint8)[None]
    assert np.array_equal(colour_map(classes, CAMVID.palette_rgb)[0], CAMVID.palette_rgb[:, ::-1])


def test_opacity_runs_from_frame_to_colours():
    classes = bands([0, 3, 5])
    assert np.array_equal(draw_overlay(FRAME, classes, CAMVID, opacity=0, legend=False), FRAME)
    assert np.array_equal(draw_overlay(FRAME, classes, CAMVID, opacity=1, legend=False), colour_map(classes, CAMVID.palette_rgb))
    half = (FRAME.astype(int) + colour_map(classes, CAMVID.palette_rgb)) / 2
    assert np.abs(draw_overlay(FRAME, classes, CAMVID, opacity=0.5, legend=False) - half).max() <= 0.5
    with pytest.raises(ValueError, match="opacity"):
        draw_overlay(FRAME, classes, CAMVID, opacity=1.5)


def test_legend_has_a_swatch_of_each_present_class_only():
    grey = np.full_like(FRAME, 90)
    picture = draw_overlay(grey, bands([3, 10]), CAMVID, opacity=0, legend=True)
    assert [index for index in range(11) if has_swatch(picture, index)] == [3, 10]


def test_legend_of_all_classes_fits_the_smallest_camvid_picture_and_leaves_most_of_it():
    before = FRAME.copy()
    picture = draw_overlay(FRAME, bands(list(range(12))), CAMVID, opacity=0)
    changed = (picture != FRAME).any(axis=2)
    assert 0.05 < changed.mean() < 0.2
    assert not changed[-100:].any()  # all rows fit above
    assert (picture == 255).all(axis=2).sum() > 300  # white letters
    assert np.array_equal(FRAME, before)


def test_no_legend_where_it_would_hide_a_small_picture():
    small = np.zeros((40, 60, 3), np.uint8)
    classes = np.zeros((40, 60), np.uint8)
    assert np.array_equal(draw_overlay(small, classes, CAMVID), draw_overlay(small, classes, CAMVID, legend=False))
