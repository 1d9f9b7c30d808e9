"""Kinds of picture, by the first bytes of a file and never by its name."""

import importlib.util
from typing import Literal

PictureFormat = Literal["PNG", "JPEG", "WebP", "BMP", "TIFF", "AVIF", "HEIC"]
"""The kinds of picture that are read; the last one if its package is there."""

HEIC_PACKAGE = "pi_heif"

reads_heic = importlib.util.find_spec(HEIC_PACKAGE) is not None
"""Whether the package for HEIC is installed."""

HEAD_BYTES = 4096
"""That many bytes from the beginning of a file are looked at."""

_SIGNATURES: tuple[tuple[bytes, PictureFormat], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),  # BigTIFF
    (b"MM\0+", "TIFF"),
)

_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
"""Sizes of the header that follows the first 14 bytes: `BM` alone begins many an ordinary text."""


_STILL_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1"})
"""Of pictures in the container of MP4 videos."""


def picture_format(head: bytes) -> PictureFormat | None:
    """The kind of picture that begins with `head`, of which 30 bytes are enough; None if it is no accepted one."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), int.from_bytes(head[:4], "big")), 4))}
        return "HEIC" if brands.isdisjoint({b"avif", b"avis"}) else "AVIF"
    return None
