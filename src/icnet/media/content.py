"""What a file is, by its first bytes and never by its name."""

from pathlib import Path
from typing import Literal

from icnet.pictures.formats import HEAD_BYTES, picture_format

_PLAYLIST_BEGINNINGS = (
    b"#extm3u",  # HLS and M3U
    b"ffconcat version",
    b"v=0",  # session description (SDP)
    b"[playlist]",  # PLS
    b"[reference]",  # Windows Media
    b"asf http",
    b"rtsptext",  # QuickTime
    b"smtptext",
    b"# vobsub index",  # names a second file by its own name
)
_PLAYLIST_ELEMENTS = (b"<mpd", b"<asx", b"<smil", b"<playlist", b"<compositionplaylist", b"<assetmap", b"<smoothstreamingmedia")
"""Of DASH, ASX, SMIL, XSPF, IMF and Smooth Streaming; FFmpeg looks for such an element behind any text."""
_SESSION_LINE = b"\nc=in ip"
"""FFmpeg takes every text with such a line for a session description."""


def sniff(path: Path | str) -> Literal["picture", "playlist"] | None:
    """Look into the beginning of a file.

    Returns:
        "picture": of a kind that `icnet.pictures.reading.read_image` reads, perhaps damaged, or HEIC without its package.
        "playlist": a text that makes FFmpeg open other files or addresses.
        None: anything else, which may be a video. Also what is no ordinary file or cannot be read: its reader says why.
    """
    path = Path(path)
    try:
        if not path.is_file():  # a pipe would lose what is read here, or never give anything
            return None
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return None
    if picture_format(head) is not None:
        return "picture"
    return "playlist" if is_playlist(head) else None


def is_playlist(head: bytes) -> bool:
    """Whether a file that begins with `head` names other files or addresses, to be opened when it is read as a video."""
    text = head.partition(b"\0")[0].removeprefix(b"\xef\xbb\xbf").lower()
    if text.lstrip().startswith(_PLAYLIST_BEGINNINGS):
        return True
    lines = b"\n" + text.replace(b"\r", b"\n")
    return _SESSION_LINE in lines or any(element in text for element in _PLAYLIST_ELEMENTS)
