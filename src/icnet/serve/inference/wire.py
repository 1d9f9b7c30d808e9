"""The large parts of a protobuf message, taken out before the rest becomes objects.

A message of 16 MiB can hold millions of tiny parts; as objects they take a second and 700 MB. What a request has to have is
either large and flat, and then cut out here, or small.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from icnet.serve.errors import BadRequest

LONGEST = 256 * 1024
"""Bytes of a message without the parts that are cut out."""

_MOST_PARTS = 64

Path = tuple[int, ...]
"""Numbers of fields within each other."""

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
"""Wire type to bytes, of numbers whose length is fixed."""


class _Malformed(Exception):
    pass


def without(message: bytes, cut: Mapping[int, Any]) -> tuple[bytes, list[tuple[Path, memoryview]]]:
    """Cut parts out of an encoded message.

    Args:
        message: encoded.
        cut: number of a field that has a length to None where it is to be cut out, or to such a mapping for a message in it.

    Returns:
        The message without them, and each with its path, in order, in the memory of `message`.

    Raises:
        BadRequest: not a message, or the rest is longer than `LONGEST`.
    """
    parts: list[tuple[Path, memoryview]] = []
    try:
        rest = _rest(memoryview(message), cut, (), parts)
    except (_Malformed, IndexError):
        raise BadRequest("the message is damaged: it is no protobuf of the Open Inference Protocol") from None
    return rest, parts


def with_parts(message: bytes, number: int, parts: Iterable[memoryview]) -> bytes:
    """Add values of a repeated field of bytes to an encoded message without them, copying them once."""
    pieces: list[bytes | memoryview] = [message]
    for part in parts:
        pieces += [_varint(number << 3 | _BYTES) + _varint(len(part)), part]
    return b"".join(pieces)


def _rest(message: memoryview, cut: Mapping[int, Any], path: Path, parts: list[tuple[Path, memoryview]]) -> bytes:
    kept = bytearray()
    for number, kind, start, value, stop in _fields(message):
        if number not in cut or kind != _BYTES:
            kept += message[start : min(stop, start + LONGEST + 1)]  # of one that is too long the beginning is enough
        elif cut[number] is None:
            parts.append(((*path, number), message[value:stop]))
        else:
            inner = _rest(message[value:stop], cut[number], (*path, number), parts)
            kept += _varint(number << 3 | _BYTES) + _varint(len(inner)) + inner
        if len(kept) > LONGEST or len(parts) > _MOST_PARTS:
            raise BadRequest(
                f"the message has more than {LONGEST >> 10} KiB beside the values of tensors, or these in more than "
                f"{_MOST_PARTS} parts"
            )
    return bytes(kept)


def _fields(message: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
    """Of each field: number, wire type, where it starts, where its value does, and where it ends."""
    position = 0
    while position < len(message):
        start = position
        key, position = _read_varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _BYTES:
            length, position = _read_varint(message, position)
            value, position = position, position + length
        elif kind == _VARINT:
            value = position
            _, position = _read_varint(message, position)
        elif kind in _FIXED:
            value, position = position, position + _FIXED[kind]
        else:
            raise _Malformed
        if not number or position > len(message):
            raise _Malformed
        yield number, kind, start, value, position


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
    raise _Malformed


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
