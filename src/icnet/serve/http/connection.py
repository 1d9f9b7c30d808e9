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

from icnet.serve.errors import Overloaded
from icnet.serve.http.parser import Parser, TinyChunks, error_response, problem
from icnet.serve.http.transport import Patience, Transport
from icnet.serve.logs import event
from icnet.serve.service import Service

_SILENCE_SECONDS, _LINGER_SECONDS, _LINGER_BYTES = 2.0, 10.0, 64 << 20
"""How long and how much is still read from a client that was answered before it had sent everything."""

_LEAST_IDLE_SECONDS = 1.0
"""A connection that was of use more recently is not given up for another."""

_TLS_SHUTDOWN_SECONDS = 24 * 3600.0
"""Never: asyncio would count the time for what is still to be sent, too."""

_FAREWELL_SECONDS = 0.1
"""An idle connection is open so much longer when the server ends."""

_CLOSE = (b"connection", b"close")

_LOGGER = logging.getLogger("icnet.serve.http.connection")
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
        self._patience = Patience(limits.idle_seconds)
        self._refused = self._lingering = self._half_closed = self._lost = False
        self._idle_since = self._heard = self._linger_until = self.loop.time()
        self._discarded = 0

    # The beginning: counted, encrypted, admitted

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._raw = transport
        self.connections.add(self)
        most = self._service.limits.connections
        if len(self._admitted) >= most:
            self._make_room()
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
            encrypted = await self.loop.start_tls(
                transport, self, context, server_side=True, ssl_shutdown_timeout=_TLS_SHUTDOWN_SECONDS
            )
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
        assert self._raw is not None
        super().connection_made(Transport(transport, self._raw, self._closing))
        self._idle_since = self.loop.time()
        if self in self._turned_away:
            self._refuse(503, "the server has as many connections as it takes: try again in a moment")

    def _make_room(self) -> None:
        """Clients that keep connections without a use for them must not lock out the others."""
        until = self.loop.time() - _LEAST_IDLE_SECONDS
        idle = [connection for connection in self._admitted if connection.idle and connection._idle_since <= until]
        if idle:
            longest = min(idle, key=lambda connection: connection._idle_since)
            self._admitted.discard(longest)
            longest._abort()

    @property
    def idle(self) -> bool:
        """Nothing is asked, nothing is left to send, and nothing of a next request is there."""
        if self.transport is None or self.transport.is_closing():
            return False
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self.conn.trailing_data[0] and not cast(Transport, self.transport).left_bytes

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

    def eof_received(self) -> bool:  # type: ignore[override]
        """Some clients say at once that they have nothing more to ask; they wait for the answer all the same.

        Returns:
            Whether to go on; otherwise asyncio closes.
        """
        if self.transport is None:
            self._abort()
            return False
        self._half_closed = self._tls is None and not self.transport.is_closing() and self._unanswered()  # TLS cannot
        if not self._half_closed:
            self._watch_writing()
        return self._half_closed

    def _unanswered(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()
        if self._half_closed and not self._unanswered():
            self.transport.close()
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
        self._patience.renew()

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                # Of the rest of a body nothing is of use then, and the client should know before it has sent it.
                last = wrong is not None or cycle.more_body or not cycle.keep_alive
                if last or self._service.draining:
                    message = message | {"headers": [*message.get("headers", []), _CLOSE]}
            await send(message)

        if wrong is None:
            try:
                await self._answering(scope, receive, sending)
            except asyncio.CancelledError:  # the server ends, and it is too late for a refusal
                cycle.disconnected = True
                self._abort()
            return
        self._note_refusal(status, wrong, "bad_request")
        headers, body = error_response(wrong)
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
        self._note_refusal(status, text, reason)
        if not begun:
            headers, body = error_response(text)
            if status == 503:
                headers.append((b"retry-after", str(Overloaded.retry_after_s).encode()))
            lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(), *(b": ".join(h) for h in [*headers, _CLOSE])]
            self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self._refused = True
        self.transport.close()

    def _note_refusal(self, status: int, text: str, reason: str | None) -> None:
        """As the application's side has it for the others."""
        if reason is not None:
            self._service.metrics.rejected("http", reason)
        self._service.metrics.answered("http", "other", str(status), self.loop.time() - self._idle_since)
        event("refused", protocol="http", status=status, client=self.client and self.client[0], error=text)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():  # what is left then may be little, and must not wait for ever either
            self._stop_timer("writing")
            self._patience.end(self.loop.time(), cast(Transport, self.transport).left_bytes)

    def _watch_writing(self) -> None:
        """End connections that take an answer too slowly."""
        left_bytes = cast(Transport, self.transport).left_bytes
        seconds = self._patience.wait(self.loop.time(), left_bytes)
        if left_bytes and seconds <= 0:
            self._abort()
        elif left_bytes:
            self._start_timer("writing", seconds, self._watch_writing)

    # The end

    def _closing(self) -> None:
        """Close, but not before the answer can be read.

        If a socket is closed with unread bytes in it, the system resets the connection, and the client loses the answer.
        """
        transport = cast(Transport, self.transport).inner
        self._unset_keepalive_if_required()
        self._stop_timer("headers")
        self._heard = self.loop.time()
        self._linger_until = self._heard + _LINGER_SECONDS
        self._watch_writing()
        unread = self.conn.their_state in (h11.SEND_BODY, h11.ERROR) or bool(self.conn.trailing_data[0])
        if self._refused or unread:
            self._lingering = True
            if transport.can_write_eof():  # TLS cannot
                with contextlib.suppress(OSError):  # the client has reset the connection
                    transport.write_eof()
            transport.resume_reading()
        else:
            transport.close()
        if self._lingering or self._tls is not None:  # asyncio waits for the end of TLS, which many clients never say
            self._linger()

    def _linger(self) -> None:
        now = self.loop.time()
        if cast(Transport, self.transport).left_bytes:
            self._heard, self._linger_until = now, now + _LINGER_SECONDS
        until = min(self._heard + _SILENCE_SECONDS, self._linger_until)
        if now >= until:
            self._abort()
        else:
            self._start_timer("linger", until - now, self._linger)

    def shutdown(self) -> None:
        if self.transport is None:
            self._abort()
        elif self.idle:  # a request may be on its way, and would meet a reset
            self._start_timer("farewell", _FAREWELL_SECONDS, self._part)
        else:
            self._part()

    def _part(self) -> None:
        if not self.transport.is_closing():
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
        cast(Transport, self.transport).closing = True
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
