import dataclasses

import cv2
import numpy as np
import pytest

from icnet.base.classes import CAMVID, OUTSIDE
from icnet.base.sample import Sample
from icnet.data.augment import Augmentation, random_crop
from icnet.data.batches import Batches, BatchOptions, CropStage
from icnet.data.cells import class_counts
from icnet.data.taught import Taught

SIZE_HW = (96, 128)
PLAIN = Augmentation(brightness=0, contrast=0, saturation=0, tint=0, scale=(0.4, 2), aspect=1.2)


def _sample() -> Sample:
    labels = cv2.resize(
        np.random.default_rng(0).integers(0, 11, (3, 4)).astype(np.uint8), SIZE_HW[::-1], interpolation=cv2.INTER_NEAREST
    )
    return Sample("picture", np.repeat(labels[..., None] * 20, 3, axis=2), labels)


class _One(list[Sample]):
    """A dataset."""

    classes = CAMVID


def _all_knowing(image: np.ndarray) -> np.ndarray:
    """The truth at half the size, as probabilities: the class of a pixel is written in its colour."""
    small = cv2.resize(image[..., 0] // 20, (SIZE_HW[1] // 2, SIZE_HW[0] // 2), interpolation=cv2.INTER_NEAREST)
    return np.eye(len(CAMVID.names), dtype=np.float32)[small]


@pytest.mark.parametrize("seed", range(8))
def test_answers_move_with_the_labels(seed):
    taught = Taught(_One([_sample()]), _all_knowing)
    _, labels, answers = random_crop(taught[0], (64, 96), SIZE_HW, PLAIN, np.random.default_rng(seed))
    counts = class_counts(labels[None], 12)[0]
    assert answers is not None
    whole = counts.max(axis=-1) == 16  # cells of one class
    assert whole.sum() > 20
    assert (answers.argmax(axis=-1) == counts.argmax(axis=-1))[whole].mean() > 0.97
    outside = (labels == OUTSIDE).reshape(16, 4, 24, 4).all(axis=(1, 3))
    assert answers.sum(axis=-1)[outside].max(initial=0) < 0.6  # the cell at the rim reaches half of one further
    assert answers.sum(axis=-1)[whole].mean() > 0.97


def test_targets_are_labels_and_answers_in_their_shares():
    half_sure = np.full((24, 32, len(CAMVID.names)), 1 / 12, np.float32)
    dataset = Taught(_One([_sample()]), lambda image: half_sure)
    still = dataclasses.replace(PLAIN, scale=(1, 1), aspect=1, flip=False)
    options = BatchOptions((CropStage(1, 1, SIZE_HW),), SIZE_HW, still, seed=0, answers_share=0.25)
    _, targets = Batches(dataset, options).batch(0)
    counts = class_counts(_sample().labels[None], 12)
    np.testing.assert_allclose(targets, 0.75 * counts + 0.25 * 16 / 12, atol=0.02)
