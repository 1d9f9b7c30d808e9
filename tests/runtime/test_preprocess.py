import cv2
import numpy as np
import pytest

from icnet.base.errors import InputError
from icnet.runtime.preprocess import resize_frame


def test_resizes_bilinearly_and_adds_the_batch():
    frame = np.random.default_rng(0).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    data = resize_frame(frame, (64, 96))
    assert data.shape == (1, 64, 96, 3)
    assert data.dtype == np.uint8
    assert np.array_equal(data[0], cv2.resize(frame, (96, 64), interpolation=cv2.INTER_LINEAR))


def test_keeps_the_pixels_and_their_bgr_order_at_equal_size():
    frame = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    assert np.array_equal(resize_frame(frame, (64, 96))[0], frame)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((36, 48), np.uint8),
        np.zeros((36, 48, 4), np.uint8),
        np.zeros((36, 48, 3), np.float32),
        np.zeros((0, 48, 3), np.uint8),
        None,
    ],
)
def test_refuses_what_is_no_colour_picture(frame):
    with pytest.raises(InputError, match=r"a frame must be .* uint8"):
        resize_frame(frame, (64, 96))
