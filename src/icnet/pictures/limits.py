"""What a picture may cost: pixels, and with them time and memory."""

from icnet.base.errors import InputError

MAX_PIXELS = 64_000_000
"""Largest picture that is read unless the user allows more."""

_LONGEST_SIDE = 500_000
"""Pixels; half of what libpng writes, because results may lie one above the other."""

_SECONDS, _SECONDS_PER_MEGAPIXEL = 0.5, 0.25
"""Of computing. The dearest good pictures (lossless WebP, AVIF) take 0.05 to 0.08 s a megapixel on a server of 2024."""

_BYTES, _BYTES_PER_PIXEL = 64 << 20, 24
"""Of memory beside the interpreter's own: Pillow's RGB has four bytes a pixel, libwebp and a turned picture hold several such."""


class TooCostly(InputError):
    """A picture has more pixels, or takes more time or memory, than allowed.

    Attributes:
        fact: the error without advice.
        advice: what to do.
    """

    def __init__(self, fact: str, advice: str) -> None:
        self.fact, self.advice = fact, advice
        super().__init__(f"{fact}: {advice}")


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuse what is too large.

    Raises:
        TooCostly: more than `max_pixels`, or a side that no PNG could have; the bare reason, without the name of the file.
    """
    if width * height > max_pixels:
        size = f"{width * height / 1e6:.1f} megapixels ({width}x{height})"
        raise TooCostly(f"it has {size}, more than the {max_pixels / 1e6:g} allowed", "raise --max-megapixels")
    if max(width, height) > _LONGEST_SIDE:
        raise TooCostly(f"it has {width}x{height} pixels, more than the {_LONGEST_SIDE} allowed on a side", "scale it down")


def seconds_for(pixels: int) -> float:
    """Processor time that decoding may take; 0 pixels: until the header is read."""
    return _SECONDS + _SECONDS_PER_MEGAPIXEL * pixels / 1e6


def bytes_for(pixels: int, file_bytes: int) -> int:
    """Memory that decoding may take, beside that of an idle decoder; libtiff maps the whole file."""
    return _BYTES + _BYTES_PER_PIXEL * pixels + 2 * file_bytes
