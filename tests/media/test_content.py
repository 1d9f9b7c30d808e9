import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icnet.base.errors import InputError
from icnet.media.content import HEAD_BYTES, picture_format, sniff
from icnet.pictures.reading import read_image

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))

DASH = b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011">'

PLAYLISTS = {
    "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nhttp://127.0.0.1/a.ts\n",
    "hls with mark and space": b"\xef\xbb\xbf \r\n#EXTM3U\n",
    "ffconcat": b"ffconcat version 1.0\nfile other.mp4\n",
    "dash": DASH,
    "dash behind text": b"see " + b"x" * 2000 + DASH,
    "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\n",
    "sdp without version": b"title\r\nc=IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n",
    "pls": b"[playlist]\nFile1=other.mp4\n",
    "asf reference": b"[Reference]\r\nRef1=http://127.0.0.1/x\r\n",
    "asx": b'<ASX version="3.0"><entry><ref href="other.mp4"/></entry></ASX>',
    "quicktime": b"RTSPtext\r\nrtsp://127.0.0.1/x\r\n",
    "xspf": b'<?xml version="1.0"?><playlist version="1" xmlns="http://xspf.org/ns/0/">',
    "smil": b"<smil><body><video src='other.mp4'/></body></smil>",
    "imf": b'<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">',
    "vobsub": b"# VobSub index file, v7\nsize: 720x480\n",
}


def encoded(name: str, **options) -> bytes:
    buffer = io.BytesIO()
    PICTURE.save(buffer, name, **options)
    return buffer.getvalue()


def content(folder: Path, data: bytes) -> str | None:
    (folder / "x.mp4").write_bytes(data)
    return sniff(folder / "x.mp4")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *((name, encoded(name)) for name in ("PNG", "JPEG", "BMP", "TIFF")),
        ("WebP", encoded("WEBP")),
        ("AVIF", encoded("AVIF")),
        ("AVIF", encoded("AVIF", save_all=True, append_images=[PICTURE.rotate(180)])),
        ("JPEG", encoded("MPO", save_all=True, append_images=[PICTURE])),
        ("TIFF", encoded("TIFF", big_tiff=True)),
        ("TIFF", b"MM\0*\0\0\0\x08"),
    ],
)
def test_pictures_under_another_name(tmp_path, name, data):
    assert picture_format(data[:30]) == name
    assert content(tmp_path, data) == "picture"
    start = 4 if name == "AVIF" else 0  # behind the length of the first box
    assert content(tmp_path, data[: start + 1] + b"?" + data[start + 2 :]) is None  # it is these bytes that are looked at


@pytest.mark.parametrize("name", PLAYLISTS)
def test_playlists_under_another_name(tmp_path, name):
    assert content(tmp_path, PLAYLISTS[name]) == "playlist"
    assert content(tmp_path, b"\0" + PLAYLISTS[name]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"BM",
        b"BM is how this text begins, but no bitmap\n",
        b"RIFF\0\0\0\0AVI LIST",
        encoded("GIF"),
        encoded("PPM"),
        encoded("JPEG2000"),
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2",
        b"\x1aE\xdf\xa3\0<MPD".ljust(9000, b"\0"),  # FFmpeg's text search ends at a zero, too
        b"a text about v=0 and #EXTM3U\n",
        b"x" * HEAD_BYTES + DASH,  # only the beginning is read
    ],
)
def test_anything_else(tmp_path, data):
    assert content(tmp_path, data) is None


def test_what_is_no_readable_file_is_left_to_its_reader(tmp_path, monkeypatch):
    assert sniff(tmp_path) is None
    assert sniff(tmp_path / "missing.png") is None
    assert sniff(str(tmp_path / ("x" * 300))) is None
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        assert sniff(tmp_path / "pipe.png") is None  # and does not wait for a writer
    (tmp_path / "x.png").write_bytes(encoded("PNG"))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the mode of a file would not stop an administrator
    assert sniff(tmp_path / "x.png") is None


@pytest.mark.parametrize(
    ("brands", "name"),
    [(b"heic....mif1", "HEIC"), (b"avif....mif1", "AVIF"), (b"mif1....mif1", "HEIC"), (b"mif1....mif1avif", "AVIF")],
)
def test_pictures_in_the_container_of_videos_are_no_videos(tmp_path, brands, name):
    box = (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands
    (tmp_path / "x").write_bytes(box + bytes(100))
    assert sniff(tmp_path / "x") == "picture"
    assert picture_format(box) == name
    with pytest.raises(InputError, match="damaged, cut off or of a rare kind"):
        read_image(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"\0\0\0\x1cftypisom" + bytes(100))
    assert sniff(tmp_path / "x") is None
