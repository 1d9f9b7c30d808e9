"""JSON with one large array in it, read without building an object for each number.

A parser that makes Python objects holds the interpreter for as long as it runs: 0.1 to 0.7 s for a picture of 720x960, during
which no other request is served. So the one long run of integers is cut out and left to NumPy; what remains is small.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from icnet.serve.errors import BadRequest

LONGEST = 256 * 1024
"""Bytes of JSON beside the integers that are cut out."""

_CUT = secrets.token_hex(16)
"""Stands where the array was; no client can know it."""

_PLAIN = np.zeros(256, bool)
"""Bytes of which arrays of integers consist."""
_PLAIN[np.frombuffer(b"0123456789[], \t\r\n", np.uint8)] = True

# Possessive, so that no input makes them take more than linear time; the first also matches a string that never ends.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_WHOLE_STRINGS = re.compile(rb'(?:[^"]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+', re.DOTALL)


@dataclass(frozen=True)
class JsonBody:
    """A parsed body."""

    document: Any
    """As `orjson.loads` gives it, but for the array that was cut out."""
    cut: bytes | None = None
    """Text from the first bracket of that array to the last; nothing is known yet of what is between."""

    def text(self, value: object) -> bytes:
        """JSON of an array of the document.

        Raises:
            BadRequest: it is no array.
        """
        if isinstance(value, str) and value == _CUT and self.cut is not None:
            return self.cut
        if not isinstance(value, list):
            raise BadRequest("data must be an array")
        return orjson.dumps(value)


def read_json(body: bytes, depth: int) -> JsonBody:
    """Parse a body.

    Args:
        body: UTF-8.
        depth: how deep arrays and objects may lie within each other.

    Raises:
        BadRequest: not JSON, too deep, or more than `LONGEST` bytes beside its longest array of integers.
    """
    rest, cut = (body, None) if len(body) <= LONGEST else _without_integers(body)
    _check_depth(rest, depth)
    try:
        return JsonBody(orjson.loads(rest), cut)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error.msg[:100]}") from error


def _without_integers(body: bytes) -> tuple[bytes, bytes | None]:
    """The body with its longest array of integers replaced by a string, and that array."""
    others = np.flatnonzero(~_PLAIN[np.frombuffer(body, np.uint8)])
    edges = np.concatenate([[-1], others, [len(body)]])
    longest = int(np.argmax(np.diff(edges)))
    start, stop = int(edges[longest]) + 1, int(edges[longest + 1])
    before, run, after = body[:start], body[start:stop], body[stop:]
    end = run.rfind(b"]") + 1
    # As a value it must follow a colon that is in no string. Whether its brackets pair is found out when it is read.
    fits = before.endswith(b":") and run.lstrip().startswith(b"[")
    if len(before) + len(after) + len(run) - end > LONGEST or not fits or not _WHOLE_STRINGS.fullmatch(before):
        raise BadRequest(
            f"there are more than {LONGEST >> 10} KiB of JSON beside one array of integers: send a large tensor as integers "
            "from 0 to 255, flat or nested as its shape says, or as binary data"
        )
    return b'%b"%b"%b%b' % (before, _CUT.encode(), run[end:], after), run[:end].lstrip()


def _check_depth(text: bytes, depth: int) -> None:
    signs = np.frombuffer(_STRING.sub(b"", text), np.uint8)
    opens, closes = (signs == ord("[")) | (signs == ord("{")), (signs == ord("]")) | (signs == ord("}"))
    deepest = np.cumsum(opens.astype(np.int32) - closes).max(initial=0)
    if deepest > depth:
        raise BadRequest(f"the body nests deeper than {depth} arrays and objects")
