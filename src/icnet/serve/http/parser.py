"""What is taken for a request, and what is answered to the rest, before the application sees anything."""

import json
from typing import Any

import h11
from starlette.types import Scope

from icnet.serve.errors import error_document

_MOST_HEADERS = 128
_FREE_CHUNKS, _LEAST_CHUNK_BYTES = 1000, 1024
"""A body of more chunks than the first must have this many bytes per chunk on average: each costs as much as a small request."""


class TinyChunks(h11.RemoteProtocolError):
    """What the client may read says how to do better."""


class Parser(h11.Connection):
    """Refuses bodies in tiny chunks, which would keep the event loop busy for seconds."""

    def __init__(self, header_bytes: int) -> None:
        super().__init__(h11.SERVER, header_bytes)
        self._chunks = self._chunk_bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._chunk_bytes = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._chunk_bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS + self._chunk_bytes / _LEAST_CHUNK_BYTES:
                raise TinyChunks(f"the body comes in tiny chunks: send {_LEAST_CHUNK_BYTES} bytes or more in each")
        return event


def problem(scope: Scope, header_bytes: int) -> tuple[int, str | None]:
    """What h11 lets pass and we do not.

    Args:
        scope: of ASGI.
        header_bytes: the limit; h11 knows only of headers that are not complete yet.

    Returns:
        A status and a sentence, which is None where all is well.
    """
    headers = scope["headers"]
    length = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(name) + len(value) + 4 for name, value in headers)
    if length > header_bytes or len(headers) > _MOST_HEADERS:
        return 431, f"the headers may be {_MOST_HEADERS} at most, with {header_bytes} bytes"
    if scope["http_version"] not in ("1.0", "1.1"):
        return 400, "this server speaks HTTP/1.1"
    if not scope["raw_path"].startswith(b"/"):
        return 400, "the target of a request must be a path that begins with /"
    return 0, None


def error_response(text: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of a response that the application has no part in."""
    body = json.dumps(error_document(text)).encode()
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ], body
