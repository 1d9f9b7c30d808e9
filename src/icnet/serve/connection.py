"""What uvicorn lacks against slow, many and confused clients: time-outs, a limit of connections, and errors that arrive."""

import asyncio
import contextlib
import logging
import ssl
import sys
from http import HTTPStatus
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from icnet.serve.logs import event
from icnet.serve.parser import Parser, TinyChunks, error_answer, problem
from icnet.serve.service import Service

_SILENCE_SECONDS, _LINGER_SECONDS, _LINGER_BYTES = 2.0, 10.0, 64 << 20
"""How long and how much is still read from a client that was answered before it had sent everything."""

_CLOSE = (b"connection", b"close")

_LOGGER = logging.getLogger("icnet.serve.connection")
_LOGGER.setLevel(logging.ERROR)  # uvicorn warns of each broken request, without saying whose


def protocol(service: Service, tls: ssl.SSLContext | None = None) -> type[asyncio.Protocol]:
    """A connection as `uvicorn.Config(http=...)` wants it.

    Args:
        service: its limits apply, and its metrics are told.
        tls: the connections are encrypted; uvicorn must not be told of it, because handshakes are under the limits, too.
    """

    class Bound(_Connection):
        _service, _tls = service, tls
        _admitted, _turned_away = set(), set()

    return Bound


class _Transport(asyncio.Transport):
    """The transport that uvicorn sees: closing it is left to the connection."""

    def __init__(self, inner: asyncio.Transport, connection: "_Connection") -> None:
        super().__init__()
        self.inner, self._connection, self.closing = inner, connection, False

    def close(self) -> None:
        if not self.is_closing():
            self.closing = True
            self._connection.close()

    def is_closing(self) -> bool:
        return self.closing or self.inner.is_closing()

    def write(self, data: Any) -> None:
        self.inner.write(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.inner.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self.inner.pause_reading()

    def resume_reading(self) -> None:
        self.inner.resume_reading()


class _Connection(H11Protocol):
    """One client."""

    _service: ClassVar[Service]
    _tls: ClassVar[ssl.SSLContext | None]
    _admitted: ClassVar[set["_Connection"]]
    _turned_away: ClassVar[set["_Connection"]]
    """Beyond the limit: they get an answer, and up to as many again not even that."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limits = self._service.limits
        self.logger = _LOGGER
        self.conn = Parser(limits.header_bytes)
        self.timeout_keep_alive = cast(int, limits.idle_seconds)
        self._answering, self.app = self.app, cast(Any, self._answer)
        self._raw: asyncio.Transport | None = None
        self._early = bytearray()
        self._handshake: asyncio.Task[None] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._refused = self._lingering = self._lost = False
        self._heard, self._linger_until, self._discarded = 0.0, 0.0, 0

    # The beginning: counted, encrypted, admitted

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._raw = transport
        self.connections.add(self)
        most = self._service.limits.connections
        group = self._admitted if len(self._admitted) < most else self._turned_away
        if group is self._turned_away:
            self._service.metrics.rejected("http", "connections")
            if len(group) >= most:
                transport.abort()
                return
        group.add(self)
        self._count()
        self._start_timer("headers", self._service.limits.header_seconds, self._headers_late)
        if self._tls is None:
            self._ready(transport)
        else:
            transport.pause_reading()
            self._handshake = self.loop.create_task(self._encrypt(transport, self._tls))

    async def _encrypt(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        try:
            encrypted = await self.loop.start_tls(transport, self, context, server_side=True)
        except OSError:  # no TLS, or gone; asyncio has closed it
            encrypted = None
        if self._lost or encrypted is None or transport.is_closing():
            transport.abort()
            self.connection_lost(None)  # asyncio does not always tell of connections that end in the handshake
            return
        self._ready(encrypted)
        if self._early:
            early, self._early = bytes(self._early), bytearray()
            self.data_received(early)

    def _ready(self, transport: asyncio.Transport) -> None:
        super().connection_made(_Transport(transport, self))
        if self in self._turned_away:
            self._refuse(503, "the server has as many connections as it takes: try again in a moment")

    def _count(self) -> None:
        self._service.metrics.connections.set(len(self._admitted))

    # What comes in

    def data_received(self, data: bytes) -> None:
        if self.transport is None:  # came together with the end of the handshake
            self._early += data
        elif self._lingering:
            self._heard = self.loop.time()
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self._abort()
        elif not self.transport.is_closing():
            super().data_received(data)
            self._watch_headers()

    def eof_received(self) -> None:
        if self.transport is None:
            self._abort()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_headers()

    def _watch_headers(self) -> None:
        """The clock runs while a part of a request's headers is there."""
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            self._stop_timer("headers")
        elif "headers" not in self._timers and self.conn.trailing_data[0]:
            self._unset_keepalive_if_required()
            self._start_timer("headers", self._service.limits.header_seconds, self._headers_late)

    def _headers_late(self) -> None:
        del self._timers["headers"]
        if self.transport is None:
            self._abort()
        elif self.conn.trailing_data[0]:
            seconds = self._service.limits.header_seconds
            self._refuse(408, f"the headers did not arrive within {seconds:g} seconds", reason="too_slow")
        else:  # browsers connect before they have something to ask, and do not expect an answer to that
            self.transport.close()

    # What goes out

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Between uvicorn and the application."""
        cycle, (status, wrong) = self.cycle, problem(scope, self._service.limits.header_bytes)

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" and (wrong is not None or cycle.more_body or not cycle.keep_alive):
                # The rest of a body is of no use then, and the client should know before it has sent it.
                message = message | {"headers": [*message.get("headers", []), _CLOSE]}
            await send(message)

        if wrong is None:
            await self._answering(scope, receive, sending)
            return
        self._service.metrics.rejected("http", "bad_request")
        headers, body = error_answer(wrong)
        await sending({"type": "http.response.start", "status": status, "headers": headers})
        await sending({"type": "http.response.body", "body": body})

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn within the handling of what h11 found wrong."""
        error = sys.exception()
        hint = getattr(error, "error_status_hint", 400)
        if isinstance(error, TinyChunks):
            self._refuse(400, str(error), reason="bad_request")
        elif hint == 431 and self.conn.our_state is h11.IDLE:
            self._refuse(431, f"the headers may have {self._service.limits.header_bytes} bytes at most", reason="bad_request")
        else:
            self._refuse(400, "this is no correct HTTP/1.1 request", reason="bad_request")

    def _refuse(self, status: int, text: str, *, reason: str | None = None) -> None:
        """Answer without the application, and close."""
        begun = False
        if self.cycle is not None and not self.cycle.response_complete:
            begun = self.cycle.response_started
            self.cycle.disconnected = True  # whatever the application still says must not follow our answer
            self.cycle.message_event.set()
        if reason is not None:
            self._service.metrics.rejected("http", reason)
        event("refused", logging.DEBUG, status=status, client=self.client and self.client[0], error=text)
        if not begun:
            headers, body = error_answer(text)
            if status == 503:
                headers.append((b"retry-after", b"1"))
            lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), *(b": ".join(h) for h in [*headers, _CLOSE])]
            self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self._refused = True
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timer("writing")

    def _watch_writing(self, before_bytes: int | None = None) -> None:
        """End connections that take nothing of an answer for a while."""
        assert self._raw is not None
        left_bytes = self._raw.get_write_buffer_size()
        if left_bytes == before_bytes:
            self._abort()
        elif left_bytes:
            self._start_timer("writing", self._service.limits.idle_seconds, lambda: self._watch_writing(left_bytes))

    # The end

    def close(self) -> None:
        """Close, but not before the answer can be read.

        If a socket is closed with unread bytes in it, the system resets the connection, and the client loses the answer.
        """
        transport = cast(_Transport, self.transport).inner
        self._unset_keepalive_if_required()
        self._stop_timer("headers")
        unread = self.conn.their_state in (h11.SEND_BODY, h11.ERROR) or bool(self.conn.trailing_data[0])
        if not (self._refused or unread):
            transport.close()
            self._watch_writing()
            return
        self._lingering, self._heard = True, self.loop.time()
        self._linger_until = self._heard + _LINGER_SECONDS
        if transport.can_write_eof():  # TLS cannot
            with contextlib.suppress(OSError):  # the client has reset the connection
                transport.write_eof()
        transport.resume_reading()
        self._linger()

    def _linger(self) -> None:
        until = min(self._heard + _SILENCE_SECONDS, self._linger_until)
        if self.loop.time() >= until:
            self._abort()
        else:
            self._start_timer("linger", until - self.loop.time(), self._linger)

    def shutdown(self) -> None:
        if self.transport is None:
            self._abort()
        elif not self.transport.is_closing():
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        for name in list(self._timers):
            self._stop_timer(name)
        self._admitted.discard(self)
        self._turned_away.discard(self)
        self._count()
        if self.transport is None:
            self.connections.discard(self)
            return
        cast(_Transport, self.transport).closing = True
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def _abort(self) -> None:
        assert self._raw is not None
        self._raw.abort()

    def _start_timer(self, name: str, seconds: float, do: Any) -> None:
        self._stop_timer(name)
        self._timers[name] = self.loop.call_later(seconds, do)

    def _stop_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
