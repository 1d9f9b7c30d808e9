"""PNG files of pictures and class maps."""

import struct
import zlib
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from icnet.base.files import replacing

_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
"""Runs of equal bytes only: as fast as anything, and of class maps smaller too."""
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # from OpenCV 4.12 on
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]  # class maps a third smaller than by the usual SUB, photos 7 %


_HEADER_BYTES = 33
"""Signature and first chunk of a file."""


def png(image: np.ndarray, *, palette_rgb: np.ndarray | None = None) -> bytes:
    """The PNG file of (H, W) uint8 or (H, W, 3) uint8 BGR, without loss.

    With `palette_rgb`, (N, 3) uint8, `image` holds indices into it, and viewers show these colours.
    """
    if palette_rgb is None:
        return cv2.imencode(".png", image, _PNG)[1].tobytes()
    indexed, buffer = Image.fromarray(image, "L"), BytesIO()
    indexed.putpalette(palette_rgb.tobytes())
    indexed.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def write_png(
    path: Path, image: np.ndarray, *, palette_rgb: np.ndarray | None = None, pixel_aspect: Fraction = Fraction(1)
) -> None:
    """Write what `png` makes of a picture or class map, with pixels so wide by their height; the folder is made when missing.

    Raises:
        OutputError: it cannot be written.
    """
    data = png(image, palette_rgb=palette_rgb)  # cv2.imwrite cannot open every file name on every system
    if pixel_aspect != 1:
        chunk = b"pHYs" + struct.pack(">IIB", pixel_aspect.denominator, pixel_aspect.numerator, 0)  # pixels in equal lengths
        chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        data = data[:_HEADER_BYTES] + chunk + data[_HEADER_BYTES:]
    with replacing(path) as temporary:
        temporary.write_bytes(data)
