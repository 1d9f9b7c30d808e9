import dataclasses

import cv2
import numpy as np
import pytest

from icnet.base.classes import OUTSIDE
from icnet.base.sample import Sample
from icnet.data.augment import Augmentation, focused, photometric, random_crop

STILL = Augmentation(scale=(1, 1), aspect=1, flip=False, brightness=0, contrast=0, saturation=0, tint=0)


def _picture(size_hw=(36, 48)) -> Sample:
    """The class of a pixel is written in its colour, so image and labels can be compared after any geometry."""
    coarse = np.random.default_rng(0).integers(0, 11, (3, 4)).astype(np.uint8)
    labels = cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_NEAREST)
    return Sample("picture", np.repeat(labels[..., None] * 20, 3, axis=2), labels)


def test_without_randomness_it_is_the_resize_of_the_accuracy_protocol():
    sample = _picture()
    image, labels, _ = random_crop(sample, (72, 96), (72, 96), STILL, np.random.default_rng(0))
    expected = cv2.resize(sample.image, (96, 72), interpolation=cv2.INTER_LINEAR)
    assert np.abs(image.astype(int) - expected).max() <= 1
    assert (labels == cv2.resize(sample.labels, (96, 72), interpolation=cv2.INTER_NEAREST)).mean() > 0.97


@pytest.mark.parametrize("seed", range(8))
def test_image_and_labels_move_together(seed):
    options = dataclasses.replace(STILL, scale=(0.4, 2), aspect=1.2, flip=True)
    image, labels, _ = random_crop(_picture(), (64, 64), (72, 96), options, np.random.default_rng(seed))
    known = labels != OUTSIDE
    assert (np.abs(image[..., 0].astype(int) - labels.astype(int) * 20) <= 10)[known].mean() > 0.85
    assert known.any()


def test_flip_mirrors():
    options = dataclasses.replace(STILL, flip=True)
    sample = _picture()
    seen = {random_crop(sample, (36, 48), (36, 48), options, np.random.default_rng(seed))[1].tobytes() for seed in range(12)}
    assert seen == {sample.labels.tobytes(), np.ascontiguousarray(sample.labels[:, ::-1]).tobytes()}


def test_nothing_around_a_picture_smaller_than_the_crop():
    options = dataclasses.replace(STILL, scale=(0.5, 0.5))
    _, labels, _ = random_crop(_picture(), (36, 48), (36, 48), options, np.random.default_rng(1))
    assert (labels == OUTSIDE).mean() == pytest.approx(0.75, abs=0.03)


def test_the_seed_decides():
    def crop(seed):
        return random_crop(_picture(), (32, 32), (36, 48), Augmentation(), np.random.default_rng(seed))

    np.testing.assert_array_equal(crop(5)[0], crop(5)[0])
    assert not np.array_equal(crop(5)[0], crop(6)[0])


def test_photometric_by_hand():
    class Largest:
        """A generator whose every draw is the upper bound."""

        def uniform(self, low, high, size=None):
            return high if size is None else np.full(size, high)

    grey = np.full((2, 2, 3), 100, np.uint8)
    options = dataclasses.replace(STILL, brightness=0.1, contrast=0.5)
    # contrast about mid-grey, then brightness: (100 - 127.5) * 1.5 + 127.5 + 25.5
    assert photometric(grey, options, Largest())[0, 0, 0] == pytest.approx(111.75, abs=1)
    # more saturation leaves grey as it is
    assert (photometric(grey, dataclasses.replace(STILL, saturation=0.9), Largest()) == 100).all()


def test_blur_and_sharpness_change_edges_and_nothing_else():
    edge = np.full((24, 24, 3), 80, np.uint8)
    edge[:, 12:] = 160
    soft, hard = dataclasses.replace(STILL, blur=2.0), dataclasses.replace(STILL, sharpness=1.0)
    seen = [focused(edge, options, np.random.default_rng(seed)) for options in (soft, hard) for seed in range(6)]
    assert all((image[:, :4] == 80).all() and (image[:, -4:] == 160).all() for image in seen)
    steps = {int(image[0, 12, 0]) - int(image[0, 11, 0]) for image in seen}
    assert min(steps) < 60
    assert 80 in steps  # each leaves about half of the pictures as they were
    assert max(steps) > 90
    assert focused(edge, STILL, np.random.default_rng(0)) is edge
