import os
import re
import subprocess
import sys
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clip_files import picture, turn, write_clip, write_tracks

from icnet.base.errors import InputError
from icnet.media.colours import EightBits
from icnet.media.video import Video, open_container


def test_frames_and_times(tmp_path):
    write_clip(tmp_path / "v.mp4", [0, 1, 4, 5], size_hw=(46, 62))
    with Video(str(tmp_path / "v.mp4")) as video:
        assert (video.length, video.damaged) == (4, 0)
        frames = list(video)
        assert video.shortfall is None
    assert [frame.time_s for frame in frames] == pytest.approx([0, 1 / 30, 4 / 30, 5 / 30], abs=1e-9)
    for number, frame in enumerate(frames):
        assert np.abs(frame.image.astype(int) - picture(number, (46, 62))).mean() < 12
    assert frames[0].image.flags.c_contiguous


def test_times_are_those_after_the_beginning_of_the_file(tmp_path):
    write_clip(tmp_path / "v.ts", [90_000, 93_003, 99_000], time_base=Fraction(1, 90_000))  # such streams never begin at zero
    with Video(str(tmp_path / "v.ts")) as video:
        assert [frame.time_s for frame in video] == pytest.approx([0, 3003 / 90_000, 0.1], abs=1e-9)


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [
        ("v.mkv", "libx264", None),
        ("v.avi", "mpeg4", None),
        ("v.avi", "mjpeg", None),
        ("v.mov", "mjpeg", None),
        ("v.flv", "flv", None),
        ("v.mpg", "mpeg1video", None),
        ("v.bin", "libx264", "mpegts"),
    ],
)
def test_containers_and_codecs(tmp_path, name, codec, form):
    write_clip(tmp_path / name, range(12), codec=codec, form=form, time_base=Fraction(1, 25))
    with Video(str(tmp_path / name)) as video:
        frames = list(video)
        assert video.shortfall is None
    assert len(frames) == 12
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx(1 / 25, abs=1.1e-3)


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [
        ((1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), 0),
        ((0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30), -1),
        ((-(1 << 16), 0, 0, 0, -(1 << 16), 0, 64 << 16, 48 << 16, 1 << 30), 2),
        ((0, -(1 << 16), 0, 1 << 16, 0, 0, 0, 64 << 16, 1 << 30), 1),
    ],
)
def test_a_video_of_a_turned_camera_is_upright(tmp_path, matrix, turns):
    write_clip(tmp_path / "v.mp4", range(2))
    turn(tmp_path / "v.mp4", *matrix)
    with Video(str(tmp_path / "v.mp4")) as video:
        image = next(iter(video)).image
    assert np.abs(image.astype(int) - np.rot90(picture(0), turns)).mean() < 12


def test_what_is_damaged_is_left_out_and_counted(tmp_path):
    write_clip(tmp_path / "v.mp4", range(30))
    with av.open(str(tmp_path / "v.mp4")) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray((tmp_path / "v.mp4").read_bytes())
    for place in places[5:8]:
        data[place : place + 4] = b"\xff\xff\xff\xff"  # the length of a unit
    (tmp_path / "v.mp4").write_bytes(data)
    with Video(str(tmp_path / "v.mp4")) as video:
        frames = list(video)
        assert video.damaged == 3
        assert video.shortfall == "3 damaged pieces were left out"
    assert len(frames) == 27


def test_the_beginning_of_a_file_that_was_cut_off_is_read(tmp_path):
    write_clip(tmp_path / "v.mkv", range(60))
    data = (tmp_path / "v.mkv").read_bytes()
    (tmp_path / "v.mkv").write_bytes(data[: len(data) // 2])
    with Video(str(tmp_path / "v.mkv")) as video:
        assert 10 < len(list(video)) < 60
        assert re.fullmatch(r"it ends after [01]\.\d s of 2\.0", video.shortfall)


def test_bad_videos_are_one_line(tmp_path, capfd):
    (tmp_path / "text.mp4").write_bytes(b"no video" * 100)
    write_clip(tmp_path / "good.mp4", [0])
    (tmp_path / "half.mp4").write_bytes((tmp_path / "good.mp4").read_bytes()[:500])
    for name in ("text.mp4", "half.mp4", "none.mp4"):
        with pytest.raises(InputError, match=f"cannot read .*{name}") as caught, Video(str(tmp_path / name)) as video:
            list(video)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_clip_that_gives_no_frame_is_given_up(tmp_path):
    write_clip(tmp_path / "good.mkv", range(30), sound="flac")
    with av.open(str(tmp_path / "good.mkv")) as source, av.open(str(tmp_path / "v.mkv"), "w") as target:
        tracks = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                junk = av.Packet(bytes(packet) if packet.stream.type == "audio" else bytes(packet.size))
                junk.pts, junk.dts, junk.time_base = packet.pts, packet.dts, packet.time_base
                junk.stream = tracks[packet.stream.index]
                target.mux(junk)
    for seconds, why in ((10, "it is damaged"), (0, "it gave no frame for 0 s")):
        with Video(str(tmp_path / "v.mkv")) as video:
            video._stall_s = seconds
            with pytest.raises(InputError, match=why):
                list(video)
    with pytest.raises(InputError, match="nothing came for 1e-09 s"):  # while FFmpeg opens it
        Video(str(tmp_path / "good.mkv"), stall_seconds=1e-9)


def test_sound_without_pictures_is_no_video(tmp_path):
    write_clip(tmp_path / "v.mkv", range(10), sound="flac")
    with av.open(str(tmp_path / "v.mkv")) as source, av.open(str(tmp_path / "s.mka"), "w", format="matroska") as target:
        track = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = track
                target.mux(packet)
    with pytest.raises(InputError, match="it holds no video that FFmpeg can decode"):
        Video(str(tmp_path / "s.mka"))


def test_large_frames_are_refused_unread(tmp_path):
    write_clip(tmp_path / "v.mp4", [0], size_hw=(480, 640))
    with pytest.raises(InputError, match=r"0\.3 megapixels \(640x480\), more than the 0\.3 allowed: raise --max-megapixels"):
        Video(str(tmp_path / "v.mp4"), max_pixels=300_000)
    with Video(str(tmp_path / "v.mp4"), max_pixels=480 * 640) as video:
        assert len(list(video)) == 1


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\n{name}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {name}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 33\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>\n',
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_are_refused_by_content(tmp_path, kind):
    write_clip(tmp_path / "v.ts", range(5))
    (tmp_path / "innocent.mp4").write_text(PLAYLISTS[kind].format(name="v.ts"))
    with pytest.raises(InputError, match="is a playlist, which names other files or addresses: allow it with --allow-url"):
        Video(str(tmp_path / "innocent.mp4"))


@pytest.mark.parametrize("kind", ["concat", "sdp", "dash"])
def test_a_playlist_that_is_not_recognised_is_refused_by_its_format(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("icnet.media.video.sniff", lambda name: None)
    write_clip(tmp_path / "v.ts", range(5))
    (tmp_path / "innocent.mp4").write_text(PLAYLISTS[kind].format(name="v.ts"))
    with pytest.raises(InputError, match="cannot read"):
        Video(str(tmp_path / "innocent.mp4"))


def test_a_playlist_is_read_if_it_is_allowed(tmp_path):
    write_clip(tmp_path / "v.ts", range(5))
    (tmp_path / "list.mp4").write_text(PLAYLISTS["concat"].format(name="v.ts"))
    with Video(str(tmp_path / "list.mp4"), allow_url=True) as video:
        assert len(list(video)) == 5


@pytest.mark.parametrize("name", ["http:v.mp4", "concat:a|b.mp4", "v%03d.mp4", "subfile,,start,0,end,9,,:v.mp4"])
def test_names_are_paths_and_never_protocols(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "v.mp4", range(3))
    (tmp_path / "v.mp4").rename(name)
    with Video(name) as video:
        assert len(list(video)) == 3
    with pytest.raises(InputError, match="cannot read http"):
        open_container("http://127.0.0.1:9/v.mp4")


def test_a_pipe_or_folder_is_no_video(tmp_path):
    os.mkfifo(tmp_path / "p.mp4")
    (tmp_path / "f.mp4").mkdir()
    for name in ("p.mp4", "f.mp4"):
        with pytest.raises(InputError, match="it is no file"):
            Video(str(tmp_path / name))


def test_pictures_of_other_kinds_are_no_videos(tmp_path):
    image = cv2.imencode(".ppm", picture(0))[1].tobytes()
    (tmp_path / "x.ppm").write_bytes(image)
    with pytest.raises(InputError, match="cannot read"):
        Video(str(tmp_path / "x.ppm"))


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="this system does not tell the memory of a process")
@pytest.mark.parametrize(
    ("name", "codec", "pixels", "tracks", "max_pixels"),
    [("v.avi", "zmbv", "bgr0", 1, 8_000_000), ("v.mkv", "libx264", "yuv420p", 20, 64_000_000)],
    ids=["larger frames than allowed", "many tracks"],
)
def test_opening_a_video_takes_no_memory_for_its_frames(tmp_path, name, codec, pixels, tracks, max_pixels):
    write_tracks(tmp_path / name, tracks, codec, pixels, (3000, 3000))
    meter = (
        "import re, sys; from icnet.media.video import open_container\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) // 1024\n"
        "before = peak(); open_container(sys.argv[1], max_pixels=int(sys.argv[2])); print(peak() - before)"
    )
    command = [sys.executable, "-c", meter, str(tmp_path / name), str(max_pixels)]
    assert int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) < 50  # MiB


def test_frames_too_large_to_open_are_told(tmp_path):
    write_tracks(tmp_path / "v.avi", 1, "zmbv", "bgr0", (300, 400))
    with Video(str(tmp_path / "v.avi"), max_pixels=100_000) as video, pytest.raises(InputError, match=r"0\.1 megapixels"):
        list(video)


def test_frames_that_cannot_be_converted_are_left_out(tmp_path, monkeypatch):
    write_clip(tmp_path / "v.mp4", range(4))
    real, calls = EightBits.__call__, []

    def refuse_second(self, frame):
        calls.append(frame)
        if len(calls) == 2:
            raise av.error.OSError(95, "Operation not supported")
        return real(self, frame)

    monkeypatch.setattr(EightBits, "__call__", refuse_second)
    with Video(str(tmp_path / "v.mp4")) as video:
        assert len(list(video)) == 3
        assert (video.damaged, video.shortfall) == (1, "1 damaged pieces were left out")
