"""The bytes of one client, read and written at its own pace."""

import asyncio
import contextlib
import socket
import ssl
from typing import Any, cast

_AHEAD_BYTES = 64 << 10
"""Read before anybody asks for it."""

_LEAST_BYTES_PER_SECOND = 64 << 10
"""Clients that take less use up the time that they have besides."""

_LOOK_SECONDS = 0.02
"""How often a look is taken whether the last bytes have left: with TLS asyncio does not tell."""

_TLS_SHUTDOWN_SECONDS = 30.0
"""Whoever closes waits less."""


class Wire(asyncio.Protocol):
    """One client.

    Attributes:
        received: what has come and was not used yet.
        ended: nothing more comes, or nothing more is wanted.
        gone: set when nothing can be sent either.
        about: what the scope of a request says of the connection, once it is open.
        forgotten_bytes: how much has come since `forget`.
    """

    def __init__(self, tls: ssl.SSLContext | None, patience_s: float) -> None:
        """A client that may let a response wait for so many seconds in all, and longer with every byte that it takes."""
        self.received, self.ended, self.gone, self.forgotten_bytes = bytearray(), False, asyncio.Event(), 0
        self._tls, self._raw, self._transport = tls, cast(asyncio.Transport, None), cast(asyncio.Transport, None)
        self._news, self._writable = asyncio.Event(), asyncio.Event()
        self._forgets = False
        self._patience_s = self._most_patience_s = patience_s

    async def open(self, client: socket.socket, seconds: float) -> None:
        """Take over an accepted socket.

        Raises:
            OSError: the client is gone, or speaks no TLS within so many seconds.
        """
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self, client)
        if self._tls is not None:
            encrypted = await loop.start_tls(
                self._raw, self, self._tls, server_side=True,
                ssl_handshake_timeout=seconds, ssl_shutdown_timeout=_TLS_SHUTDOWN_SECONDS,
            )  # fmt: skip
            if encrypted is None or self._raw.is_closing():
                raise ConnectionError
            self._transport = encrypted
            self._transport.set_write_buffer_limits(0)
            self._raw.resume_reading()
        peer, own = self._raw.get_extra_info("peername"), self._raw.get_extra_info("sockname")
        scheme = "http" if self._tls is None else "https"
        self.about: dict[str, Any] = {"client": peer and peer[:2], "server": own and own[:2], "scheme": scheme}

    # What comes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = self._transport = cast(asyncio.Transport, transport)
        self._raw.set_write_buffer_limits(0)  # so that `resume_writing` says that everything has left
        self._writable.set()
        if self._tls is not None:
            self._raw.pause_reading()  # the first bytes are not for us

    def data_received(self, data: bytes) -> None:
        if self._forgets:
            self.forgotten_bytes += len(data)
        else:
            self.received += data
            if len(self.received) > _AHEAD_BYTES:
                self._transport.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        """Some clients say at once that they have nothing more to ask, and wait for the answer all the same; TLS cannot."""
        self.end()
        return self._tls is None

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._writable.set()
        self.end()

    def end(self) -> None:
        """Whoever waits for more need not."""
        self.ended = True
        self._news.set()

    async def more(self) -> bool:
        """Wait for more bytes or their end; False if that has been."""
        if self.ended:
            return False
        self._news.clear()
        self._transport.resume_reading()
        await self._news.wait()
        return True

    def take(self) -> bytes:
        """What has been received, which is used then."""
        taken, self.received = self.received, bytearray()
        return cast(bytes, taken)  # which would be a copy

    def forget(self) -> None:
        """From now on whatever comes is of no use."""
        self._forgets = True
        self.received.clear()
        self._transport.resume_reading()

    # What goes out

    @property
    def left_bytes(self) -> int:
        """Written and not yet taken by the system."""
        left_bytes = self._transport.get_write_buffer_size()
        return left_bytes if self._transport is self._raw else left_bytes + self._raw.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send, if there is still somebody."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def renew_patience(self) -> None:
        """Another response begins."""
        self._patience_s = self._most_patience_s

    async def flush(self) -> None:
        """Wait until the client has taken everything; one that takes too little is left."""
        loop = asyncio.get_running_loop()
        while (left_bytes := self.left_bytes) and not self.gone.is_set():
            begun = loop.time()
            if self._writable.is_set():
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._patience_s):
                        await self._writable.wait()
            self._patience_s += (left_bytes - self.left_bytes) / _LEAST_BYTES_PER_SECOND - (loop.time() - begun)
            self._patience_s = min(self._patience_s, self._most_patience_s)
            if self._patience_s <= 0:
                self.abort()
                return

    # The end

    def end_writing(self) -> None:
        """Tell the client that nothing more comes; TLS cannot."""
        if self._transport.can_write_eof():
            with contextlib.suppress(OSError):  # it has reset the connection
                self._transport.write_eof()

    def close(self) -> None:
        """Close in order."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self._raw is not None:
            self._raw.abort()
