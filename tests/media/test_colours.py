from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest

from icnet.media import colours
from icnet.media.colours import EightBits
from icnet.media.video import Video

NITS = np.array([0, 2, 20, 100, 203, 1000])
"""Greys, as light on a screen; 203 is the white of paper (ITU-R BT.2408)."""

PATCH = 32


def pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084."""
    light = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * light) / (1 + 18.6875 * light)) ** 78.84375


def hlg(nits: np.ndarray) -> np.ndarray:
    """ITU-R BT.2100, for a screen of 1,000 nits."""
    scene = (nits / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


def frame(code: int, *, told: bool = True) -> av.VideoFrame:
    """Patches of grey, then a red one of ITU-R BT.709 as bright as paper."""
    levels = np.repeat((hlg if code == 18 else pq)(NITS)[:, None], 3, axis=1)
    red = (hlg if code == 18 else pq)(203 * np.array([0.6274, 0.0691, 0.0164]))  # in the primaries of BT.2020
    patches = np.repeat(np.vstack([levels, red])[None], PATCH, axis=1)
    picture = np.round(65535 * np.repeat(patches.reshape(1, -1, 3), PATCH, axis=0)).astype(np.uint16)
    made = av.VideoFrame.from_ndarray(picture, format="rgb48le").reformat(
        format="yuv420p10le", dst_colorspace=9, dst_color_range=1
    )
    made.pts, made.time_base, made.color_trc = 0, Fraction(1, 25), code
    made.color_primaries = made.colorspace = 9 if told else 2
    made.color_range = 1
    return made


def middles(image: np.ndarray) -> np.ndarray:
    return image[PATCH // 2, PATCH // 2 :: PATCH].astype(int)


@cache
def eight_bits(code: int, told: bool = True) -> np.ndarray:
    """Setting the conversion up takes seconds."""
    picture = EightBits()
    made = middles(picture(frame(code, told=told)))
    assert not picture.unmapped
    return made


@pytest.mark.parametrize(("code", "told"), [(16, True), (16, False), (18, True)], ids=["PQ", "PQ, primaries not told", "HLG"])
def test_dark_is_dark_and_red_is_red(code, told):
    made = eight_bits(code, told)
    flat = middles(frame(code).to_ndarray(format="bgr24"))
    greys, red = made[:-1, 1], made[-1]
    assert np.ptp(made[:-1], axis=1).max() <= 3, "greys stay grey"
    assert (np.diff(greys) > 0).all(), "nothing is clipped"
    assert greys[1] < 0.8 * flat[1, 1] or code == 18
    assert red[2] - red[0] > (flat[-1, 2] - flat[-1, 0]) * 1.08


def test_other_frames_are_left_alone():
    picture, plain = EightBits(), frame(1)
    assert np.array_equal(picture(plain), plain.to_ndarray(format="bgr24"))


def test_a_video_tells_if_its_colours_stay_flat(tmp_path, monkeypatch):
    def write() -> None:
        with av.open(str(tmp_path / "v.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = PATCH * 7, PATCH, "yuv420p10le"
            stream.codec_context.color_trc, stream.codec_context.color_primaries, stream.codec_context.colorspace = 16, 9, 9
            for number in range(3):
                made = frame(16)
                made.pts = number
                container.mux(stream.encode(made))
            container.mux(stream.encode(None))

    write()
    with Video(str(tmp_path / "v.mp4")) as video:
        (mapped, *_) = [middles(one.image) for one in video]
        assert video.shortfall is None
    assert np.abs(mapped - eight_bits(16)).max() < 12
    monkeypatch.setattr(colours, "_SDR", "no_such_option=1")
    with Video(str(tmp_path / "v.mp4")) as video:
        assert len(list(video)) == 3
        assert video.shortfall == "its colours are HDR and flat: the installed FFmpeg cannot tone-map them"
