import itertools
import threading

import cv2
import numpy as np
import pytest

from icnet.data.augment import Augmentation
from icnet.data.batches import Batches, BatchOptions, CropStage

STAGES = (CropStage(100, 3, (32, 48)),)


@pytest.fixture
def make(blocks):
    def _make(count=7, *, stages=STAGES, **options):
        return Batches(blocks(count), BatchOptions(stages, (48, 64), Augmentation(), **{"seed": 0, **options}))

    return _make


def test_shapes_and_types(make):
    images, counts = make().batch(0)
    assert (images.shape, images.dtype) == ((3, 32, 48, 3), np.uint8)
    assert (counts.shape, counts.dtype) == ((3, 8, 12, 12), np.uint8)
    assert counts.sum(axis=-1).max() == 16


def test_the_stream_is_the_numbered_batches_in_order(make):
    batches = make(threads=3)
    stream = batches.stream(start=4)
    for number, (images, labels) in zip(range(4, 9), itertools.islice(stream, 5), strict=True):
        expected = batches.batch(number)
        np.testing.assert_array_equal(images, expected[0])
        np.testing.assert_array_equal(labels, expected[1])
    stream.close()


def test_the_threads_place_the_batches(make):
    batches, inner = make(threads=2), cv2.getNumThreads()
    stream = batches.stream(start=1, place=lambda batch: (threading.current_thread().name, batch))
    name, (images, _) = next(stream)
    assert name.startswith("batches")
    np.testing.assert_array_equal(images, batches.batch(1)[0])
    stream.close()
    assert cv2.getNumThreads() == inner


def test_every_epoch_visits_every_sample_once(make):
    batches = make()
    positions = [batches._sample_index(position) for position in range(21)]
    epochs = [positions[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_the_same_sample_is_cut_anew_every_epoch(blocks):
    batches = Batches(blocks(1), BatchOptions((CropStage(1, 1, (32, 48)),), (48, 64), Augmentation(), seed=0))
    assert not np.array_equal(batches.batch(0)[0], batches.batch(1)[0])


def test_the_seed_decides(make):
    np.testing.assert_array_equal(make(seed=1).batch(2)[0], make(seed=1).batch(2)[0])
    assert not np.array_equal(make(seed=1).batch(2)[0], make(seed=2).batch(2)[0])


def test_stages_change_the_shape_and_go_on_in_the_order_of_samples(make):
    batches = make(stages=(CropStage(3, 3, (32, 48)), CropStage(2, 2, (48, 64))))
    assert [batches.batch(number)[0].shape[:3] for number in (2, 3, 4, 5)] == [(3, 32, 48), *[(2, 48, 64)] * 3]
    assert [batches.locate(number) for number in (0, 2, 3, 4, 7)] == [(0, 0), (0, 6), (1, 9), (1, 11), (1, 17)]
    assert batches.epochs(5) == 13 / 7
    read = []
    for number in range(5):
        batches.dataset.read.clear()
        batches.batch(number)
        read.append(set(batches.dataset.read))
    order = [batches._sample_index(position) for position in range(13)]
    assert read == [set(order[a:b]) for a, b in ((0, 3), (3, 6), (6, 9), (9, 11), (11, 13))]
    np.testing.assert_array_equal(next(batches.stream(start=3))[0], batches.batch(3)[0])


def test_an_error_in_a_thread_reaches_the_reader(make):
    batches = make()
    batches.dataset.__class__ = type("Broken", (), {"__len__": lambda self: 3, "__getitem__": lambda self, index: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        next(batches.stream())


def test_mixtures_are_blends_of_two_crops_without_labels(blocks):
    whole, none = (
        Batches(blocks(7), BatchOptions(STAGES, (48, 64), Augmentation(mixture=share), seed=0)) for share in (1.0, 0.0)
    )
    mixed, counts = whole.batch(0)
    plain, known = none.batch(0)
    assert counts.sum() == 0
    assert known.sum() > 0
    for image, part in zip(mixed, plain, strict=True):  # what is left of the first crop is between a fifth and four fifths of it
        share = np.polyfit(part.ravel().astype(float), image.ravel().astype(float), 1)[0]
        assert 0.1 < share < 0.9
    half = Batches(blocks(7), BatchOptions((CropStage(1, 200, (32, 48)),), (48, 64), Augmentation(mixture=0.5), seed=0))
    unlabelled = (half.batch(0)[1].sum(axis=(1, 2, 3)) == 0).mean()
    assert 0.35 < unlabelled < 0.65
