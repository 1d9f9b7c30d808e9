"""The bytes of a request's body, within all limits."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO

from starlette.requests import Request

from icnet.serve.budget import Share
from icnet.serve.errors import BadRequest, TooLarge, TooSlow, UnsupportedMedia
from icnet.serve.limits import Limits
from icnet.serve.service import Service

_PIECE_BYTES = 1 << 20
_DRAINING_SECONDS, _LOOK_SECONDS = 10.0, 1.0
"""How long a body is still waited for when the server is about to end, and how often a look is taken whether it is."""

_GZIP, _ZLIB, _RAW = 31, 15, -15  # what zlib calls wbits
_CODINGS = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


@asynccontextmanager
async def received(request: Request, service: Service) -> AsyncIterator[bytes]:
    """Read a body to its end, and undo its content coding.

    The bytes count against `Limits.buffered_bytes` until the context is left.

    Args:
        request: nothing of its body has been read yet.
        service: says how much is taken.

    Yields:
        The body as it was before gzip or deflate.

    Raises:
        Draining, Overloaded: not now; before anything is read, or when there is no memory for more.
        TooLarge: above `Limits.body_bytes`, or `Limits.decompressed_bytes` if compressed.
        TooSlow: as `in_time` has it.
        UnsupportedMedia: the coding is another one.
        BadRequest: the compressed data are damaged.
        starlette.requests.ClientDisconnect: nobody waits for the response any more.
    """
    service.check()
    coding = _coding(request)
    _check_declared(request.headers.get("content-length"), service.limits)
    with service.budget.share() as share:
        with service.metrics.stage("read"):
            body = await _read(request, service, share)
            if coding and body:
                body = await _decompress(body, coding, service.limits.decompressed_bytes, share)
        yield body


def _coding(request: Request) -> str:
    coding = _CODINGS.get(", ".join(request.headers.getlist("content-encoding")).strip().lower())
    if coding is None:
        raise UnsupportedMedia("the content-encoding of the body must be identity, gzip or deflate, and only one of them")
    return coding


def _check_declared(length: str | None, limits: Limits) -> None:
    if length is None:
        return
    if not (length.isascii() and length.isdigit()):
        raise BadRequest("the content-length is no number")
    if len(length) > 20 or int(length) > limits.body_bytes:
        raise _too_large(limits.body_bytes)


def _too_large(most_bytes: int) -> TooLarge:
    return TooLarge(f"the body may have {most_bytes} bytes at most: send less, or ask whoever runs the server to raise the limit")


@asynccontextmanager
async def in_time(service: Service) -> AsyncIterator[None]:
    """Give the block, which waits for a body, `Limits.body_seconds`, and at most 10 once the server is about to end.

    Raises:
        TooSlow: it took longer.
    """
    loop, seconds = asyncio.get_running_loop(), service.limits.body_seconds
    looking: asyncio.TimerHandle

    def look() -> None:
        nonlocal looking
        if not service.draining:
            looking = loop.call_later(_LOOK_SECONDS, look)
        elif not timeout.expired():
            timeout.reschedule(min(timeout.when() or 0, loop.time() + _DRAINING_SECONDS))

    looking = loop.call_later(_LOOK_SECONDS, look)
    try:
        async with asyncio.timeout(seconds) as timeout:
            yield
    except TimeoutError as error:
        if service.draining:
            raise TooSlow("the server is about to end, and the body did not arrive before: try another") from error
        raise TooSlow(f"the body did not arrive within {seconds:g} seconds") from error
    finally:
        looking.cancel()


async def _read(request: Request, service: Service, share: Share) -> bytes:
    buffer, most_bytes = BytesIO(), service.limits.body_bytes  # unlike a list and join, a buffer never holds the body twice
    async with in_time(service):
        async for chunk in request.stream():
            if share.held_bytes + len(chunk) > most_bytes:
                raise _too_large(most_bytes)
            share.take(len(chunk))
            buffer.write(chunk)
    return buffer.getvalue()


async def _decompress(body: bytes, coding: str, most_bytes: int, share: Share) -> bytes:
    """Piece by piece in a thread, so that neither a bomb nor a large picture is felt by other requests."""
    inflater, buffer = _Inflater(body, coding), BytesIO()
    body_bytes = len(body)
    while True:
        piece = await asyncio.to_thread(inflater.next_piece)
        if not piece:
            break
        if buffer.tell() + len(piece) > most_bytes:
            raise TooLarge(f"the body may have {most_bytes} bytes at most when it is decompressed")
        share.take(len(piece))
        buffer.write(piece)
    share.give(body_bytes)
    return buffer.getvalue()


class _Inflater:
    """Undoes gzip or deflate."""

    def __init__(self, body: bytes, coding: str) -> None:
        self._rest, self._stream = memoryview(body), zlib.decompressobj(_GZIP if coding == "gzip" else _deflate_bits(body))
        self._tail = b""

    def next_piece(self) -> bytes:
        """Up to 1 MiB of what comes out; nothing at the end.

        Raises:
            BadRequest: the data are damaged, or end too early, or go on after their end.
        """
        try:
            while not self._stream.eof:
                # zlib copies what it could not use yet, so it is given little at a time
                data, self._rest = self._tail or self._rest[:65536], self._rest if self._tail else self._rest[65536:]
                piece = self._stream.decompress(data, _PIECE_BYTES)
                self._tail = self._stream.unconsumed_tail
                if piece:
                    return piece
                if not self._tail and not self._rest and not self._stream.eof:
                    raise BadRequest("the compressed body ends too early")
        except zlib.error as error:
            raise BadRequest("the body is not what its content-encoding says, or damaged") from error
        if self._stream.unused_data or self._rest:
            raise BadRequest("something follows the end of the compressed body: it must be one gzip or deflate stream")
        return b""


def _deflate_bits(body: bytes) -> int:
    """Deflate is meant to have the header of zlib, and some clients leave it out."""
    has_header = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _ZLIB if has_header else _RAW
