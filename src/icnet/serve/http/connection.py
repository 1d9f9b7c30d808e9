"""One client, from its connection to its end: slow, confused and silent ones included."""

import asyncio
import contextlib
import logging
import socket
import ssl
from enum import Enum, auto
from http import HTTPStatus

from starlette.types import ASGIApp

from icnet.serve.errors import Refused, TooSlow
from icnet.serve.http.exchange import Exchange, head_bytes
from icnet.serve.http.refusal import refusal
from icnet.serve.http.wire import Wire
from icnet.serve.logs import event
from icnet.serve.service import Service

_SILENCE_SECONDS, _LINGER_SECONDS, _LINGER_BYTES = 2.0, 10.0, 64 << 20
"""How long and how much is still read from a client that was answered before it had sent everything."""

_STANDING = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), (b"connection", b"close")]
"""Headers of answers that the application has no part in."""


class State(Enum):
    """What a connection is doing; each state has a limit of time."""

    OPENING = auto()
    """The handshake of TLS."""
    IDLE = auto()
    """Nothing is asked, and nothing is left to send."""
    READING = auto()
    """A part of a request's headers is there."""
    ANSWERING = auto()
    """The application has a request."""
    CLOSING = auto()
    """The last answer is on its way."""


class Connection:
    """One client.

    Attributes:
        state: what it is doing.
        since: when that began, in seconds of the event loop.
    """

    def __init__(self, app: ASGIApp, service: Service, tls: ssl.SSLContext | None) -> None:
        self._app, self._service = app, service
        self._wire = Wire(tls, service.limits.idle_seconds)
        self._unread = self._leaving = False
        self._become(State.OPENING)

    @property
    def left_bytes(self) -> int:
        """Of answers, not yet taken."""
        return self._wire.left_bytes

    async def run(self, client: socket.socket, unwelcome: Refused | None) -> None:
        """Answer all requests of an accepted socket; or only tell an unwelcome client why it is not."""
        limits = self._service.limits
        try:
            await self._wire.open(client, limits.header_seconds)
            try:
                if unwelcome is not None:
                    raise unwelcome
                goes_on = await self._exchange(limits.header_seconds)
                while goes_on:
                    goes_on = await self._exchange(limits.idle_seconds)
            except Refused as error:
                self._refuse(error)
            await self._close()
        except OSError:  # no TLS, or gone
            pass
        except Exception as error:
            event("error", logging.ERROR, trace=error)
        finally:
            self._wire.abort()
            client.close()

    def leave(self) -> None:
        """End as soon as nothing is being answered, without waiting for more to be asked."""
        self._leaving = True
        if self.state is State.OPENING:
            self._wire.abort()
        elif self.state in (State.IDLE, State.READING):
            self._wire.end()

    def abort(self) -> None:
        """End at once."""
        self._wire.abort()

    def _become(self, state: State) -> None:
        self.state, self.since = state, asyncio.get_running_loop().time()

    async def _exchange(self, idle_seconds: float) -> bool:
        """One request and its answer: whether another may follow."""
        head = await self._head(idle_seconds)
        if not head:
            return False
        self._become(State.ANSWERING)
        self._wire.renew_patience()
        exchange = Exchange(head, self._wire, self._service)
        await self._app(exchange.scope, exchange.receive, exchange.send)
        self._unread = exchange.unread
        if exchange.refused and not exchange.begun:
            raise exchange.refused
        return exchange.reusable and not self._leaving

    async def _head(self, idle_seconds: float) -> bytes:
        """The bytes of the next request before its body; none if the client has nothing more to ask."""
        wire, limits = self._wire, self._service.limits
        self._become(State.IDLE)
        if wire.received:
            await asyncio.sleep(0)  # who asks much at once must not keep the others waiting
        else:
            try:
                async with asyncio.timeout(idle_seconds):
                    await wire.more()
            except TimeoutError:  # browsers connect before they have something to ask, and do not expect an answer to that
                return b""
        self._become(State.READING)
        try:
            async with asyncio.timeout(limits.header_seconds):
                while wire.received:
                    length = head_bytes(wire.received, limits.header_bytes)
                    if length is not None:
                        head = bytes(wire.received[:length])
                        del wire.received[:length]
                        return head
                    if not await wire.more():
                        break
        except TimeoutError as error:
            raise TooSlow(f"the headers did not arrive within {limits.header_seconds:g} seconds") from error
        return b""

    def _refuse(self, error: Refused) -> None:
        """Answer without the application."""
        metrics, client = self._service.metrics, self._wire.about["client"]
        metrics.rejected("http", error.reason)
        metrics.answered("http", "other", str(error.status), asyncio.get_running_loop().time() - self.since)
        event("refused", protocol="http", status=error.status, client=client and client[0], error=str(error))
        response = refusal(error)
        lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()]
        lines += [b": ".join(header) for header in (*response.raw_headers, *_STANDING)]
        self._wire.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body))
        self._unread = True

    async def _close(self) -> None:
        """Close, but not before the answer can be read.

        If a socket is closed with unread bytes in it, the system resets the connection, and the client loses the answer.
        """
        wire, unread = self._wire, self._unread or bool(self._wire.received)
        self._become(State.CLOSING)
        if unread:
            wire.forget()
        await wire.flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                if unread:
                    wire.end_writing()
                    while wire.forgotten_bytes <= _LINGER_BYTES:
                        async with asyncio.timeout(_SILENCE_SECONDS):
                            if not await wire.more():
                                return
                else:
                    wire.close()
                    async with asyncio.timeout(_SILENCE_SECONDS):  # many clients never say the end of TLS
                        await wire.gone.wait()
