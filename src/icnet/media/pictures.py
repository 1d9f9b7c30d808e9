"""Picture files as they really are: read by content, upright, in eight bits, and whole or not at all."""

import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from icnet.base.errors import InputError
from icnet.base.shared import Shared
from icnet.base.stderr import native_messages_dropped
from icnet.media.content import HEAD_BYTES, PictureFormat, picture_format

MAX_PIXELS = 64_000_000
"""Largest picture that is read unless the user allows more."""

_LONGEST_SIDE = 500_000
"""Pixels; half of what libpng writes, because results may lie one above the other."""

_EXPECTED = "expected a PNG, JPEG, WebP, BMP or TIFF picture"

_READERS: dict[PictureFormat, type[ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,  # also of MPO files, which begin with an ordinary JPEG
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}

_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Pillow's names of the kinds of eight-bit pixels that have one meaning as RGB."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of an EXIF orientation upright; 1 and unknown values mean that it is."""

_STRIP_PIXELS = 1 << 20
"""So many pixels are converted at a time: Pillow's own export of a whole picture would take twice its memory."""


class TooManyPixels(InputError):
    """A picture is larger than allowed.

    Attributes:
        fact: the error without advice.
    """

    def __init__(self, fact: str, advice: str) -> None:
        self.fact = fact
        super().__init__(f"{fact}: {advice}")


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse what is too large.

    Raises:
        TooManyPixels: more than `max_pixels`, or a side that no PNG could have; the bare reason, without the name of the file.
    """
    if width * height > max_pixels:
        size = f"{width * height / 1e6:.1f} megapixels ({width}x{height})"
        raise TooManyPixels(f"it has {size}, more than the {max_pixels / 1e6:g} allowed", "raise --max-megapixels")
    if max(width, height) > _LONGEST_SIDE:
        raise TooManyPixels(f"it has {width}x{height} pixels, more than the {_LONGEST_SIDE} allowed on a side", "scale it down")


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture by its content, whatever its suffix; the orientation that a camera noted (EXIF) is applied.

    Alpha is dropped, 16-bit values keep their high byte, and of several pictures the first one is read.

    Args:
        path: a PNG, JPEG, WebP, BMP or TIFF file.
        max_pixels: a larger picture is refused by its header, before it takes memory.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: it cannot be read, is too large, damaged, cut off or no such picture.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe might never give anything
            raise InputError(f"it is no file; {_EXPECTED}")
        with path.open("rb") as file:
            return _read(file, max_pixels)
    except InputError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except (OSError, ValueError) as error:  # the latter for a name with a zero in it
        raise InputError(f"cannot read {path}: {_reason(error)}") from error


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture in memory as `read_image` reads a file; several threads may do so side by side.

    Args:
        data: a PNG, JPEG, WebP, BMP or TIFF file.
        max_pixels: a larger picture is refused by its header, before it takes memory.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        TooManyPixels: it is too large.
        InputError: it is empty, damaged, cut off or no such picture. Both have the bare reason for their text.
    """
    return _read(BytesIO(data), max_pixels)


def _read(file: BinaryIO, max_pixels: int) -> np.ndarray:
    try:
        with _pillow_within_our_limits():
            return _decoded(file, max_pixels)
    except InputError:
        raise
    except Exception as error:  # damaged files make Pillow raise nearly everything, from KeyError to struct.error
        raise InputError(_reason(error)) from error


@contextmanager
def _our_limits() -> Iterator[None]:
    with native_messages_dropped(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, TiffImagePlugin.READ_LIBTIFF
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
        TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader of uncompressed TIFF misreads some layouts
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, TiffImagePlugin.READ_LIBTIFF = before


_pillow_within_our_limits = Shared(_our_limits)
"""Within the block Pillow says nothing, has no limit of its own and never completes a picture that is cut off."""


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    text = " ".join(str(error).split())[:100] or type(error).__name__
    return f"it is damaged, cut off or of a rare kind ({text}); replace it, or convert it to PNG"


def _decoded(file: BinaryIO, max_pixels: int) -> np.ndarray:
    head = file.read(HEAD_BYTES)
    name = picture_format(head)
    if name is None:
        raise InputError(f"{'it is no picture that can be read' if head else 'the file is empty'}; {_EXPECTED}")
    if name == "WebP":
        check_size(*_webp_size(head), max_pixels)  # its decoder takes memory when it is opened
    file.seek(0)
    image = _READERS[name](file)
    check_size(*image.size, max_pixels)
    _check_pixels(image)
    if isinstance(image, PngImageFile):
        image.verify()  # the checksums, which load() does not look at
        file.seek(0)
        image = PngImageFile(file)
    image.load()
    upright = _upright(image)
    del image  # it holds the pixels a second time if they were turned
    return _bgr(upright)


def _check_pixels(image: ImageFile.ImageFile) -> None:
    known = image.mode in _MODES or image.mode.startswith("I;16")
    if isinstance(image, TiffImageFile) and image.mode.startswith("I;16"):
        tags = image.tag_v2  # Pillow gives grey of 12 bits too dark, and such in which 0 is white as a negative
        known = tags.get(TiffImagePlugin.BITSPERSAMPLE) == (16,) and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 1
    if not known:
        raise InputError(
            f"its pixels are of a rare kind ({image.mode}), expected 8 or 16 bits per channel: convert it to 8-bit RGB"
        )


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height in the header of a WebP file (RFC 9649); (0, 0) if there is none, which Pillow refuses."""
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return 0, 0


def _upright(image: Image.Image) -> Image.Image:
    """Turn a loaded picture as its EXIF data say; of a TIFF Pillow has done so already."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF data, whatever Pillow makes of them, do not spoil the pixels
        return image
    return image if turn is None else image.transpose(turn)


def _bgr(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 BGR of a loaded picture, strip by strip."""
    width, height = image.size
    result = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        part = result[top : top + rows]
        strip = image if rows >= height else image.crop((0, top, width, top + len(part)))
        if strip.mode.startswith("I;16"):
            part[:] = (np.asarray(strip) >> 8)[:, :, None]
        else:
            cv2.cvtColor(np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB")), cv2.COLOR_RGB2BGR, dst=part)
    return result
