"""Numbers, numbers behind a palette and colours, in every kind of pixel that a PNG has."""

import cv2
import numpy as np
import pytest
from PIL import Image

from icnet.data.formats.masks import read_mask
from icnet.data.formats.source import Table
from icnet.pictures.reading import read_stored

TABLE = Table(("road", "car"), ((128, 64, 128), (0, 0, 142)))
IDS = np.repeat(np.array([[0, 1, 255, 0], [1, 1, 0, 255]], np.uint8), 8, axis=1)
COLOURS = np.zeros((256, 4), np.uint8)
COLOURS[:2], COLOURS[:, 3] = ((128, 64, 128, 0), (0, 0, 142, 0)), 255

KINDS = {
    "8 bits": Image.fromarray(IDS),
    "16 bits": Image.fromarray(IDS.astype(np.uint16)),
    "colours": Image.fromarray(COLOURS[IDS][..., :3].copy()),
    "colours with alpha": Image.fromarray(COLOURS[IDS]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_pixel(kind, tmp_path):
    KINDS[kind].save(tmp_path / "mask.png")
    labels = read_mask(tmp_path / "mask.png", TABLE)
    np.testing.assert_array_equal(labels.ids, IDS)
    assert labels.faults == ()


def test_two_levels_are_the_numbers_0_and_1(tmp_path):
    Image.fromarray(IDS == 1).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png", TABLE).ids.tolist() == (IDS == 1).astype(int).tolist()


def test_a_palette_that_says_nothing_of_the_table_leaves_the_numbers(tmp_path):
    mask = Image.fromarray(IDS)
    for colours, expected in (([1, 2, 3, 4, 5, 6], IDS), ([0, 0, 142, 128, 64, 128], np.array([1, 0] + [255] * 254)[IDS])):
        mask.putpalette(colours + [0] * 762)  # of fewer colours Pillow writes fewer bits
        mask.save(tmp_path / "mask.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", TABLE).ids, expected)
    assert read_stored(tmp_path / "mask.png").palette[:2] == ((0, 0, 142), (128, 64, 128))


def test_thin_things_and_many_classes_are_no_sign_of_interpolation(tmp_path):
    table = Table(tuple("abcdefghijkl"))
    generator = np.random.default_rng(0)
    mask = cv2.resize(generator.integers(0, 12, (9, 12), dtype=np.uint8), (240, 180), interpolation=cv2.INTER_NEAREST)
    for x in range(5, 240, 9):
        mask[:, x] = generator.integers(0, 12)  # poles of one pixel
    for changed, is_fault in (
        (mask, False),
        (cv2.resize(mask, (120, 90), interpolation=cv2.INTER_NEAREST), False),
        (cv2.resize(mask, (360, 270), interpolation=cv2.INTER_LINEAR), True),
        (cv2.resize(mask, (150, 100), interpolation=cv2.INTER_AREA), True),
    ):
        cv2.imwrite(str(tmp_path / "mask.png"), changed)
        assert bool(read_mask(tmp_path / "mask.png", table).faults) == is_fault, changed.shape
