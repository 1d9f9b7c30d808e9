"""What a picture file holds: read by content, upright, in eight bits, and whole or not at all. Runs in a decoder's process."""

import sys
import warnings
from array import array
from collections.abc import Callable, Iterable, Iterator
from os import SEEK_END
from typing import Any, BinaryIO

from PIL import AvifImagePlugin, ExifTags, Image, ImageFile, TiffImagePlugin
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from icnet.base.errors import InputError
from icnet.pictures.formats import HEAD_BYTES, PictureFormat, picture_format, reads_heic
from icnet.pictures.limits import TooCostly, check_size

EXPECTED = "expected a PNG, JPEG, WebP, BMP, TIFF, AVIF or HEIC picture"

PLAINER = "convert it to a plain PNG or JPEG"

_READERS: dict[PictureFormat, type[ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,  # also of MPO files, which begin with an ordinary JPEG
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "AVIF": AvifImageFile,
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

_STRIP_PIXELS = 1 << 16
"""So many pixels are given at a time: exporting a whole picture would take its memory again, and more than a cache holds."""

_SCANS = 32
"""Most passes of a JPEG: encoders make about ten, and each one, however short, costs as much as the whole picture."""

_PARTS, _PART_BYTES = 1000, 4096
"""Most chunks of a PNG, or segments before the pixels of a JPEG: so many, and one more for each so many bytes of the file."""

_FORMAT, _ORIENTATION = "icnet format", "icnet orientation"
"""Notes in a loaded picture."""

_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF


def use_pillow_strictly() -> None:
    """From now on Pillow says nothing in this process, has no limit of its own and never completes a picture that is cut off."""
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
    TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader of uncompressed TIFF misreads some layouts
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each thread would count against the memory
    if reads_heic:
        import pi_heif

        pi_heif.options.DECODE_THREADS = 1
        _READERS["HEIC"] = pi_heif.HeifImageFile


def opened(file: BinaryIO, max_pixels: int, afford: Callable[[int], None]) -> ImageFile.ImageFile:
    """A picture whose header is read, and no pixels yet; `afford` is told their number when it is known, before they take memory.

    Raises:
        TooCostly: it is too large, or has more parts than a picture needs.
        InputError: it is empty or no such picture. Pillow raises nearly everything else, from KeyError to struct.error.
    """
    head = file.read(HEAD_BYTES)
    name = picture_format(head)
    if name is None:
        raise InputError(f"{'it is no picture that can be read' if head else 'the file is empty'}; {EXPECTED}")
    if name == "WebP":
        width, height = _webp_size(head)
        check_size(width, height, max_pixels)
        afford(width * height)  # its decoder takes memory when it is opened
    if name in ("PNG", "JPEG"):
        _check_parts(file, name)
    if name not in _READERS:
        raise InputError("it is HEIC, which needs one more package: pip install 'icnet[heic]'")
    file.seek(0)
    image = _READERS[name](file)
    check_size(*image.size, max_pixels)
    if isinstance(image, TiffImageFile):
        check_size(image.tag_v2.get(_TILE_WIDTH, 0), image.tag_v2.get(_TILE_LENGTH, 0), max_pixels)
    _check_pixels(image)
    afford(image.width * image.height)
    return image


def loaded(image: ImageFile.ImageFile, file: BinaryIO) -> Image.Image:
    """The pixels of what `opened` gave, upright."""
    if isinstance(image, PngImageFile):
        image.verify()  # the checksums, which load() does not look at
        file.seek(0)
        image = PngImageFile(file)
    image.load()
    image.info |= {_FORMAT: image.format, _ORIENTATION: _orientation(image)}
    turn = _TURNS.get(image.info[_ORIENTATION])
    return image if turn is None else image.transpose(turn)


def reason(error: Exception) -> str:
    """Why a picture cannot be read, of an error that is not ours."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())[:100] or type(error).__name__
    return f"it is damaged, cut off or of a rare kind ({text}); replace it, or convert it to PNG"


def _check_parts(file: BinaryIO, name: PictureFormat) -> None:
    """Refuse a PNG or JPEG of so many parts that going through them would take longer than its pixels."""
    most = _PARTS + file.seek(0, SEEK_END) // _PART_BYTES
    at = 8 if name == "PNG" else 2
    for _ in range(most):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or (name == "JPEG" and (head[0] != 0xFF or head[1] == 0xDA)):
            break
        at += 12 + int.from_bytes(head, "big") if name == "PNG" else 2 + int.from_bytes(head[2:], "big")
    else:
        raise TooCostly(f"it has more than {most} parts", PLAINER)
    if name == "JPEG":
        file.seek(at)
        passes = file.read()
        if passes.count(b"\xff\xda", 0, passes.find(b"\xff\xd9")) > _SCANS:  # in pixels a zero follows every 255
            raise TooCostly(f"it has more than {_SCANS} passes", PLAINER)


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


def _orientation(image: Image.Image) -> int:
    """What EXIF data of a loaded picture say about its sides; of a TIFF Pillow has done so already, and 1 is left."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF data, whatever Pillow makes of them, do not spoil the pixels
        return 1


def stored(image: Image.Image) -> tuple[int, Iterable[bytes]]:
    """The pixels of a loaded picture with as much as its file holds.

    Returns:
        How many bytes a pixel has, and the pixels: 1 of a picture of numbers, whatever its palette; 2, the lower one first, where
        these have 16 bits; 3 of colours, BGR.
    """
    if image.mode in ("L", "P"):
        return 1, [image.tobytes()]
    if image.mode == "1":
        return 1, [image.convert("L").point([0] + [1] * 255).tobytes()]
    if image.mode.startswith("I;16"):
        numbers = array("H", image.tobytes())
        if (image.mode == "I;16B") == (sys.byteorder == "little"):
            numbers.byteswap()
        return 2, [numbers.tobytes()]
    return 3, strips(image)


def told(image: Image.Image) -> dict[str, Any]:
    """What a file tells of its pixels: `format`, `orientation` before it was made upright, `palette` (red, green, blue, ...)."""
    palette = image.getpalette("RGB") if image.mode == "P" else None
    return {"format": image.info[_FORMAT], "orientation": image.info[_ORIENTATION], "palette": palette}


def strips(image: Image.Image) -> Iterator[bytes]:
    """The pixels of a loaded picture from top to bottom, three bytes BGR each."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows)))
        if strip.mode.startswith("I;16"):
            high = strip.tobytes()[0 if strip.mode == "I;16B" else 1 :: 2]
            strip = Image.frombytes("L", strip.size, high)
        yield (strip if strip.mode == "RGB" else strip.convert("RGB")).tobytes("raw", "BGR")
