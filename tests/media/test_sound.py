from fractions import Fraction

import av
import numpy as np
import pytest
from clip_files import RATE_HZ, frame_times, picture, sound_packets, write_clip

from icnet.media.sinks import video_sink
from icnet.media.sound import Sound
from icnet.media.video import Video


def copy(source, target, *, until: int | None = None) -> None:
    """What `segment` does, without a network."""
    with Video(str(source)) as video, Sound(str(source)) as sound, video_sink(target, rate=video.rate, sound=sound) as sink:
        for number, frame in enumerate(video):
            sink.write(frame.image, frame.time_s)
            if number == until:
                sink.cut()
                break


def heard(path) -> np.ndarray:
    """The decoded sound."""
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0].astype(float) for frame in container.decode(audio=0)])


@pytest.mark.parametrize(("name", "sound"), [("v.mp4", "aac"), ("v.mkv", "aac"), ("v.mkv", "flac"), ("v.avi", "libmp3lame")])
def test_sound_is_copied_bit_for_bit(tmp_path, name, sound):
    write_clip(tmp_path / name, range(60), sound=sound)
    copy(tmp_path / name, tmp_path / "out.mp4")
    assert sound_packets(tmp_path / "out.mp4") == sound_packets(tmp_path / name) != []


def test_sound_of_a_transport_stream_is_copied_without_its_headers(tmp_path):
    write_clip(tmp_path / "v.ts", range(60), sound="aac")
    copy(tmp_path / "v.ts", tmp_path / "out.mp4")
    assert sound_packets(tmp_path / "out.mp4") == [packet[7:] for packet in sound_packets(tmp_path / "v.ts")]
    assert len(heard(tmp_path / "out.mp4")) == len(heard(tmp_path / "v.ts"))


def test_sound_that_mp4_cannot_hold_is_encoded_anew(tmp_path):
    write_clip(tmp_path / "v.avi", range(60), codec="mjpeg", sound="pcm_s16le")
    copy(tmp_path / "v.avi", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    assert len(heard(tmp_path / "out.mp4")) == pytest.approx(2 * RATE_HZ, abs=3000)
    assert heard(tmp_path / "out.mp4")[10_000:40_000].std() == pytest.approx(0.3 / 2**0.5, rel=0.1)


@pytest.mark.parametrize(("name", "offset_s"), [("v.mkv", 0), ("v.ts", 10)])
def test_pictures_and_sound_stay_together(tmp_path, name, offset_s):
    write_clip(tmp_path / name, range(60, 120), sound="aac", offset_s=offset_s)  # pictures begin two seconds after the sound
    copy(tmp_path / name, tmp_path / "out.mp4")

    def starts(path):
        with av.open(str(path)) as container:
            return [stream.start_time * stream.time_base for stream in (*container.streams.video, *container.streams.audio)]

    before, after = starts(tmp_path / name), starts(tmp_path / "out.mp4")
    assert after[0] - after[1] == pytest.approx(before[0] - before[1], abs=0.001)
    assert frame_times(tmp_path / "out.mp4")[0] > 1.9


def test_sound_ends_with_a_video_that_is_cut(tmp_path):
    write_clip(tmp_path / "v.mp4", range(90), sound="aac")
    copy(tmp_path / "v.mp4", tmp_path / "out.mp4", until=29)
    assert len(heard(tmp_path / "out.mp4")) == pytest.approx(RATE_HZ, abs=3000)


def test_sound_goes_on_after_the_last_picture(tmp_path):
    write_clip(tmp_path / "v.mkv", [0, 89], sound="flac")  # the tone is three seconds long
    with Sound(str(tmp_path / "v.mkv")) as sound, video_sink(tmp_path / "out.mp4", rate=Fraction(30), sound=sound) as sink:
        sink.write(picture(0), 0.0)
    assert len(heard(tmp_path / "out.mp4")) == pytest.approx(3 * RATE_HZ, abs=3000)


def test_a_silent_video_has_no_track(tmp_path):
    write_clip(tmp_path / "v.mp4", range(5))
    copy(tmp_path / "v.mp4", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
