import cv2
import numpy as np
from tiny_network import Blocks

from icnet.base.classes import CAMVID, OUTSIDE
from icnet.data.augment import Augmentation
from icnet.data.batches import Batches, BatchOptions, CropStage
from icnet.data.cells import class_counts
from icnet.training.preview import drawn, write_preview


def test_each_crop_stands_beside_its_labels():
    image = np.full((1, 64, 96, 3), 100, np.uint8)
    labels = np.zeros((1, 64, 96), np.uint8)
    labels[:, 32:] = 3
    labels[:, :, 64:] = OUTSIDE
    (row,) = drawn((image, class_counts(labels, len(CAMVID))), CAMVID)
    assert row.shape == (320, 960, 3)
    assert (row[:, :480] == 100).all()
    sky, road, nothing = row[150, 780], row[300, 780], row[300, 940]
    assert (nothing == 100).all()
    for found, index in ((sky, 0), (road, 3)):
        expected = 0.55 * np.array(CAMVID.palette[index])[::-1] + 0.45 * 100
        assert np.abs(found - expected).max() <= 1


def test_eight_crops_of_as_many_batches_as_that_takes(tmp_path):
    options = BatchOptions((CropStage(9, 3, (64, 96)),), (96, 128), Augmentation(), seed=0)
    write_preview(tmp_path / "p.jpg", Batches(Blocks(4), options), CAMVID)
    assert cv2.imread(str(tmp_path / "p.jpg")).shape == (4 * 320, 2 * 960, 3)
