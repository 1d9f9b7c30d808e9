import cv2
import numpy as np
import pytest

from icnet.base.errors import UsageError
from icnet.runtime.smooth import KEEP, Smoother

BACKGROUND, OBJECT = 1, 8


def texture(seed: int, size_hw: tuple[int, int] = (192, 256)) -> np.ndarray:
    """A colourful picture whose parts can be told apart, (H, W, 3) uint8."""
    height, width = size_hw
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def scores(labels: np.ndarray, noise: float = 0, seed: int = 0) -> np.ndarray:
    """(1, 12, h, w) float32 of a network that is right but for the noise."""
    sure = 4.0 * (labels == np.arange(12)[:, np.newaxis, np.newaxis])
    return (sure + np.random.default_rng(seed).normal(0, noise, sure.shape))[np.newaxis].astype(np.float32)


def classes(raw: np.ndarray) -> np.ndarray:
    return raw[0].argmax(axis=0)


class PlainAverage:
    """What a smoother must not be: it averages whatever the picture does."""

    def __init__(self):
        self.past = None

    def __call__(self, data: np.ndarray, raw: np.ndarray) -> np.ndarray:
        self.past = raw if self.past is None else KEEP * self.past + (1 - KEEP) * raw
        return self.past


def test_the_first_frame_is_as_the_network_saw_it():
    raw = scores(np.zeros((48, 64), int), noise=1)
    before = raw.copy()
    result = Smoother()(texture(0)[np.newaxis], raw)
    assert result.dtype == np.float32
    assert np.array_equal(result, before)
    assert not np.shares_memory(result, raw), "the engine writes the next scores over these"
    assert not result.flags.writeable, "the smoother goes on with it"


def test_a_noisy_scene_that_stays_flickers_less():
    labels = np.where(np.arange(64) < 30, BACKGROUND, OBJECT) * np.ones((48, 1), int)
    generator, smoother, picture = np.random.default_rng(1), Smoother(), texture(1)
    changes = []
    before = None
    for seed in range(12):
        noisy = np.clip(picture + generator.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
        raw = scores(labels, noise=1.5, seed=seed)
        maps = classes(raw), classes(smoother(noisy[np.newaxis], raw))
        if before is not None:
            changes.append([np.mean(new != old) for new, old in zip(maps, before, strict=True)])
        before = maps
    without, smoothed = np.mean(changes, axis=0)
    assert without > 0.2
    assert smoothed < without / 4


@pytest.mark.parametrize("size_hw", [(48, 64), (192, 256)], ids=["logits", "soft"])
def test_scores_follow_a_camera_that_turns(size_hw):
    # The scene moves by 8 pixels to the left and 4 down with each frame, its labels with it.
    wide, height, width = texture(2, (256, 512)), *size_hw
    world = np.random.default_rng(2).integers(0, 11, (16, 32)).repeat(16, axis=0).repeat(16, axis=1)
    smoother, plain, wrong = Smoother(), PlainAverage(), []
    for number in range(12):
        part = slice(60 - 4 * number, 252 - 4 * number), slice(8 * number, 8 * number + 256)
        truth = cv2.resize(world[part], (width, height), interpolation=cv2.INTER_NEAREST)
        raw, data = scores(truth, noise=1.5, seed=number), wide[part][np.newaxis]
        wrong.append([np.mean(classes(result) != truth) for result in (raw, smoother(data, raw), plain(data, raw))])
    without, smoothed, averaged = np.mean(wrong[4:], axis=0)
    assert without > 0.15
    assert smoothed < without / 2
    assert averaged > without, "without following it would do harm"


def trail(smoother) -> float:
    """Greatest share of the cells, over the frames, where an object is still seen that has passed."""
    picture, share = texture(3), 0.0
    for number in range(8):
        left = 16 + 24 * number
        labels, frame = np.full((48, 64), BACKGROUND), picture.copy()
        labels[16:32, left // 4 : left // 4 + 10] = OBJECT
        frame[64:128, left : left + 40] = (30, 30, 220)
        result = classes(smoother(frame[np.newaxis], scores(labels)))
        share = max(share, float(np.mean(result[labels == BACKGROUND] == OBJECT)))
    return share


def test_a_moving_object_leaves_no_trail():
    assert trail(Smoother()) < 0.002
    assert trail(PlainAverage()) > 0.02, "the test would not see one"


@pytest.mark.parametrize("what", ["cut", "brightness"])
def test_nothing_is_left_after_a_change_of_the_whole_picture(what):
    first = texture(4) // 2
    second = texture(5) if what == "cut" else first + 60
    smoother = Smoother()
    for seed in range(3):
        smoother(first[np.newaxis], scores(np.full((48, 64), BACKGROUND), noise=1, seed=seed))
    raw = scores(np.full((48, 64), OBJECT), noise=1, seed=9)
    result = smoother(second[np.newaxis], raw)
    assert np.array_equal(result, raw)
    assert not np.shares_memory(result, raw)
    assert not np.array_equal(smoother(second[np.newaxis], raw * 2), raw * 2), "the frame after it is smoothed again"


def test_a_cut_to_a_picture_that_is_the_same_in_places_leaves_nothing_there():
    # Half sky, half something else: the sky is the same before and after, yet it is another scene.
    first, second = texture(6), texture(7)
    first[:80] = second[:80] = (250, 200, 180)
    smoother, raw = Smoother(), scores(np.full((48, 64), OBJECT))
    smoother(first[np.newaxis], scores(np.full((48, 64), BACKGROUND)))
    assert np.array_equal(smoother(second[np.newaxis], raw), raw)


def test_only_what_changed_counts_anew():
    first, smoother = texture(8), Smoother()
    second = first.copy()
    second[:, 160:] = texture(9)[:, 160:]
    second[64:68, 200:204] = first[64:68, 200:204]  # one cell that is the same by chance
    old, new = scores(np.full((48, 64), BACKGROUND)), scores(np.full((48, 64), OBJECT))
    smoother(first[np.newaxis], old)
    result = smoother(second[np.newaxis], new)
    changed, same = np.s_[..., 44:], np.s_[..., :30]
    assert np.array_equal(result[changed], new[changed])
    assert np.allclose(result[same], KEEP * old[same] + (1 - KEEP) * new[same], atol=1e-5)


def test_another_size_begins_anew():
    smoother = Smoother()
    smoother(texture(0)[np.newaxis], scores(np.full((48, 64), BACKGROUND)))
    for size_hw in [(96, 256), (192, 256), (32, 32)]:
        raw = scores(np.full([side // 4 for side in size_hw], OBJECT))
        assert np.array_equal(smoother(texture(0, size_hw)[np.newaxis], raw), raw)


def test_the_smallest_network_is_smoothed_too():
    smoother, data = Smoother(), texture(0, (32, 32))[np.newaxis]
    old, new = scores(np.full((8, 8), BACKGROUND)), scores(np.full((8, 8), OBJECT))
    smoother(data, old)
    assert np.allclose(smoother(data, new), KEEP * old + (1 - KEEP) * new, atol=1e-5)


def test_refuses_class_indices():
    with pytest.raises(UsageError, match="class indices only") as caught:
        Smoother()(texture(0)[np.newaxis], np.zeros((1, 192, 256), np.int64))
    assert "\n" not in str(caught.value)
