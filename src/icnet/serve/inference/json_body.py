"""JSON with one large array in it, read without building an object for each number.

A parser that makes Python objects holds the interpreter for as long as it runs: 0.1 to 0.7 s for a picture of 720x960, during
which no other request is served. So the one long run of integers is cut out and left to NumPy; what remains is small.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from icnet.serve.errors import BadRequest

LONGEST = 256 * 1024
"""Bytes of JSON beside the integers that are cut out."""

_CHUNK = 64 * 1024
"""Bytes that are looked at at a time: other threads wait no longer than this takes, and it bounds the memory."""

_PLAIN = np.zeros(256, bool)
"""Bytes of which arrays of integers consist."""
_PLAIN[np.frombuffer(b"0123456789[], \t\r\n", np.uint8)] = True

_ARRAY = re.compile(rb"[ \t\r\n]*+\[")

# Possessive, so that no input makes them take more than linear time; the first also matches a string that never ends.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_WHOLE_STRINGS = re.compile(rb'(?:[^"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)


@dataclass(frozen=True)
class JsonBody:
    """A parsed body."""

    document: Any
    """As `orjson.loads` gives it, but for the array that was cut out: a string that no client can know stands for it."""
    cut: bytes | None = None
    """Text from the first bracket of that array to the last; nothing is known yet of what is between."""

    def text(self, value: object) -> bytes:
        """JSON of the array of the document that may be cut out.

        Raises:
            BadRequest: it is no array.
        """
        if self.cut is not None:
            return self.cut
        if not isinstance(value, list):
            raise BadRequest("data must be an array")
        return orjson.dumps(value)


def read_json(body: bytes, depth: int, *, array_at: Sequence[str | int] = ()) -> JsonBody:
    """Parse a body of UTF-8, in which the keys and places `array_at` lead to the one value that may be a large array.

    Raises:
        BadRequest: not JSON, deeper than `depth` arrays and objects, or more than `LONGEST` bytes beside its longest array of
            integers, or that elsewhere.
    """
    rest, cut, mark = (body, None, "") if len(body) <= LONGEST else _without_integers(body)
    _check_depth(rest, depth)
    try:
        document = orjson.loads(rest)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error.msg[:100]}") from error
    if cut is not None and _at(document, array_at) != mark:
        raise BadRequest("a large array is taken as the data of the input only")
    return JsonBody(document, cut)


def _at(document: Any, place: Sequence[str | int]) -> Any:
    for step in place:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _without_integers(body: bytes) -> tuple[bytes, bytes, str]:
    """The body with its longest array of integers replaced by a string, that array, and the string."""
    start, stop = _longest_plain(body)
    end = body.rfind(b"]", start, stop) + 1
    # As a value it must follow a colon that is in no string. Whether its brackets pair is found out when it is read.
    array = _ARRAY.match(body, start, min(stop, start + LONGEST))
    fits = end and len(body) - (end - start) <= LONGEST and body.endswith(b":", 0, start)
    if not fits or array is None or not _WHOLE_STRINGS.fullmatch(body, 0, start):
        raise _too_much()
    mark = secrets.token_hex(16)
    return b'%b"%b"%b' % (body[:start], mark.encode(), body[end:]), body[array.end() - 1 : end], mark


def _longest_plain(body: bytes) -> tuple[int, int]:
    """Where the longest run of `_PLAIN` bytes begins and ends; one at the end of the body is no value of an object.

    Raises:
        BadRequest: there are more than `LONGEST` others.
    """
    start = stop = begun = others = 0
    for place in range(0, len(body), _CHUNK):
        chunk = np.frombuffer(body, np.uint8, min(_CHUNK, len(body) - place), place)
        ends = place + np.flatnonzero(~_PLAIN[chunk])
        others += ends.size
        if others > LONGEST:
            raise _too_much()
        if ends.size:
            begins = np.concatenate([[begun], ends[:-1] + 1])
            longest = np.argmax(ends - begins)
            if ends[longest] - begins[longest] > stop - start:
                start, stop = int(begins[longest]), int(ends[longest])
            begun = int(ends[-1]) + 1
    return start, stop


def _too_much() -> BadRequest:
    return BadRequest(
        f"there are more than {LONGEST >> 10} KiB of JSON beside one array of integers: send a large tensor as integers "
        "from 0 to 255, flat or nested as its shape says, or as binary data"
    )


def _check_depth(text: bytes, depth: int) -> None:
    signs = np.frombuffer(_STRING.sub(b"", text), np.uint8)
    opens, closes = (signs == ord("[")) | (signs == ord("{")), (signs == ord("]")) | (signs == ord("}"))
    deepest = np.cumsum(opens.astype(np.int32) - closes).max(initial=0)
    if deepest > depth:
        raise BadRequest(f"the body nests deeper than {depth} arrays and objects")
