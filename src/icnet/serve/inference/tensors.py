"""UINT8 tensors from the three forms in which a client may send their values, and values back to JSON."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import orjson

from icnet.serve.errors import BadRequest

_CHUNK = 1 << 16
"""Values or bytes that are worked on at a time: other threads wait no longer than this takes."""

_SPACE = np.isin(np.arange(256), list(b" \t\r\n"))
"""Bytes that JSON allows between tokens."""

_NESTED = re.compile(rb"[ \t\r\n]*+\[[ \t\r\n]*+\[")

_PADDING = np.full(3, ord("#"), np.uint8)


def from_bytes(data: bytes | memoryview, shape: Sequence[int]) -> np.ndarray:
    """Values as they lie in memory, one byte for each: uint8 of that shape, read-only in the memory of `data`.

    Raises:
        BadRequest: not as many as the shape says.
    """
    values = np.frombuffer(data, np.uint8)
    if values.size != math.prod(shape):
        raise BadRequest(f"the shape asks for {math.prod(shape)} bytes and the binary data has {values.size}")
    return values.reshape(shape)


def from_json(text: bytes, shape: Sequence[int]) -> np.ndarray:
    """Values in a JSON array, flat or nested as the shape says, in any spacing: uint8 of that shape.

    Raises:
        BadRequest: anything but as many integers from 0 to 255 as the shape says, or not valid JSON.
    """
    count = math.prod(shape)
    wrong = BadRequest(f"data must be {count} integers from 0 to 255, flat or nested as the shape says")
    if len(text) < 2 * count:  # too short already; what follows takes memory for `count`
        raise wrong
    # So many spaces before the second bracket are no nesting: a search to their end would hold up other threads.
    pattern = _pattern(shape if _NESTED.match(text, 0, _CHUNK) else [count])
    values, filled, matched = np.empty(count, np.uint8), 0, 0
    for piece in _pieces(text):
        try:
            numbers, tokens = _numbers(np.frombuffer(piece, np.uint8))
        except ValueError:
            raise wrong from None
        if pattern[matched : matched + len(tokens)] != tokens:
            raise wrong
        values[filled : filled + numbers.size] = numbers
        filled, matched = filled + numbers.size, matched + len(tokens)
    if matched != len(pattern):
        raise wrong
    return values.reshape(shape)


def _pattern(shape: Sequence[int]) -> bytes:
    """A JSON array of this shape without spaces, with `n` for each number."""
    pattern = b"n"
    for side in reversed(shape):
        pattern = b"[" + ((pattern + b",") * side)[:-1] + b"]"
    return pattern


def _pieces(text: bytes) -> Iterator[bytes]:
    """The text in pieces, so that no number of up to three digits is in two of them; a longer one is wrong in any case."""
    start = 0
    while start < len(text):
        stop = start + _CHUNK
        for _ in range(2):
            if stop < len(text) and text[stop - 1 : stop + 1].isdigit():
                stop -= 1
        yield text[start:stop]
        start = stop


def _numbers(signs: np.ndarray) -> tuple[np.ndarray, bytes]:
    """The numbers in a piece of JSON, and what is left of it with `n` for each number and without spaces.

    Raises:
        ValueError: a number is not what JSON allows, or above 255.
    """
    spaced = np.count_nonzero(_starts(_digits(signs)))
    # Padded, so that each number has something before and after it.
    signs = np.concatenate([_PADDING, signs[~_SPACE[signs]], _PADDING])
    digits = _digits(signs)
    starts = _starts(digits)
    tokens = np.where(digits, np.uint8(ord("n")), signs)[starts | ~digits][3:-3].tobytes()
    last = np.flatnonzero(digits[:-1] & ~digits[1:])
    tens = digits[last - 1]
    hundreds = tens & digits[last - 2]
    zeros = starts[:-1] & digits[1:] & (signs[:-1] == ord("0"))
    values = signs[last] - np.uint16(ord("0"))
    values += tens * (signs[last - 1] - np.uint16(ord("0"))) * np.uint16(10)
    values += hundreds * (signs[last - 2] - np.uint16(ord("0"))) * np.uint16(100)
    # If there are fewer numbers without the spaces, then some were within a number.
    if spaced != last.size or np.any(zeros) or np.any(hundreds & digits[last - 3]) or values.max(initial=0) > 255:
        raise ValueError
    return values.astype(np.uint8), tokens


def _digits(signs: np.ndarray) -> np.ndarray:
    return (signs - np.uint8(ord("0"))) < 10


def _starts(digits: np.ndarray) -> np.ndarray:
    """Where a number begins."""
    starts = digits.copy()
    starts[1:] &= ~digits[:-1]
    return starts


def from_varints(pieces: Iterable[bytes | memoryview], others: Iterable[int], shape: Sequence[int]) -> np.ndarray:
    """Values in a repeated integer field of a protobuf message: uint8 of that shape.

    Args:
        pieces: the packed ones, as they are encoded.
        others: those that were sent one by one; both cannot be mixed.
        shape: of the tensor.

    Raises:
        BadRequest: anything but as many integers from 0 to 255 as the shape says.
    """
    count = math.prod(shape)
    wrong = BadRequest(f"contents must have {count} integers from 0 to 255 in uint_contents or int_contents")
    packed, single = b"".join(pieces), list(others)
    if packed and single:
        raise wrong
    if single:
        try:
            values = np.frombuffer(bytes(single), np.uint8)
        except ValueError:
            raise wrong from None
    else:
        encoded = np.frombuffer(packed, np.uint8)
        # Up to 127 a value is its own encoding; from 128 to 255 a byte 1 follows, and no other second byte is in the range.
        second = np.zeros(encoded.size, bool)
        second[1:] = encoded[:-1] >= 128
        if np.any(encoded[second] != 1) or np.any(encoded[-1:] >= 128):
            raise wrong
        values = encoded[~second]
    if values.size != count:
        raise wrong
    return values.reshape(shape)


def to_bytes(values: np.ndarray) -> memoryview:
    """Values as they lie in memory, without a copy if they lie there in order."""
    return np.ascontiguousarray(values).data.cast("B")


def to_json(values: np.ndarray) -> Iterator[bytes]:
    """A flat JSON array, in pieces."""
    flat = np.ascontiguousarray(values).reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        yield b"," if start else b"["
        yield orjson.dumps(flat[start : start + _CHUNK], option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    yield b"]" if flat.size else b"[]"
