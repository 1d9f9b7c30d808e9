"""Accepts clients within the limits, and lets them go at the end."""

import asyncio
import errno
import logging
import socket
import ssl

from starlette.types import ASGIApp

from icnet.serve.errors import TooManyConnections
from icnet.serve.http.connection import Connection, State
from icnet.serve.logs import event
from icnet.serve.service import Service

_LEAST_IDLE_SECONDS = 1.0
"""A connection that was of use more recently is not given up for another."""

_FAREWELL_SECONDS = 0.1
"""An idle connection is open so much longer when the server ends: a request may be on its way, and would meet a reset."""

_CUT_SECONDS = 1.2
"""So long those may still be told who were not answered in time."""

_BACK_OFF_SECONDS, _SILENCE_SECONDS = 0.5, 60.0
"""Without descriptors: until the next attempt to accept, and between two lines of the log."""

_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """The HTTP server of an application.

    Attributes:
        connections: all that are open, with the tasks that they run in.
    """

    def __init__(self, app: ASGIApp, service: Service, tls: ssl.SSLContext | None = None) -> None:
        """Serve `app` as the limits of `service` allow, and tell its metrics; with `tls` connections are encrypted."""
        self._app, self._service, self._tls = app, service, tls
        self.connections: dict[Connection, asyncio.Task[None]] = {}
        self._admitted: set[Connection] = set()
        self._turned_away: set[Connection] = set()  # beyond the limit: they get an answer, and up to as many again not even that

    def listen(self, listener: socket.socket) -> None:
        """Take clients from a listening socket until `close`, which closes it."""
        self._accepting = asyncio.create_task(self._accept(listener))
        self._accepting.add_done_callback(lambda _: listener.close())

    async def _accept(self, listener: socket.socket) -> None:
        loop, told = asyncio.get_running_loop(), -_SILENCE_SECONDS
        listener.setblocking(False)
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:  # others are of that client alone
                if error.errno in _SHORT_OF:
                    self._make_room()
                    if loop.time() - told >= _SILENCE_SECONDS:
                        told = loop.time()
                        advice = "raise the limit of open files (ulimit -n), or lower --max-connections"
                        event("cannot_accept", logging.ERROR, error=error.strerror, advice=advice)
                    await asyncio.sleep(_BACK_OFF_SECONDS)
            else:
                self._admit(client)
            await asyncio.sleep(0)  # a flood of clients must not keep the others waiting

    def _admit(self, client: socket.socket) -> None:
        most, unwelcome = self._service.limits.connections, None
        if len(self._admitted) >= most:
            self._make_room()
        connection, group = Connection(self._app, self._service, self._tls), self._admitted
        if len(group) >= most:
            unwelcome = TooManyConnections("the server has as many connections as it takes: try again in a moment")
            group = self._turned_away
            if len(group) >= most:
                self._service.metrics.rejected("http", unwelcome.reason)
                client.close()
                return
        group.add(connection)
        self._count()

        def left(_: object) -> None:
            group.discard(connection)
            del self.connections[connection]
            self._count()

        task = self.connections[connection] = asyncio.create_task(connection.run(client, unwelcome))
        task.add_done_callback(left)

    def _make_room(self) -> None:
        """Clients that keep connections without a use for them must not lock out the others."""
        until = asyncio.get_running_loop().time() - _LEAST_IDLE_SECONDS
        idle = [one for one in self._admitted if one.state is State.IDLE and one.since <= until]
        if idle:
            longest = min(idle, key=lambda one: one.since)
            self._admitted.discard(longest)
            longest.abort()

    def _count(self) -> None:
        self._service.metrics.connections.set(len(self._admitted))

    async def answered(self, seconds: float) -> None:
        """Wait so long for the requests that are being answered now."""
        if begun := [task for one, task in self.connections.items() if one.state is State.ANSWERING]:
            await asyncio.wait(begun, timeout=seconds)

    async def close(self, seconds: float) -> bool:
        """Accept nobody, and let everybody go; the service is draining.

        Args:
            seconds: for what is in flight; then those are told that it is too late whom nothing was told yet.

        Returns:
            Whether everything was answered.
        """
        self._accepting.cancel()
        await asyncio.sleep(_FAREWELL_SECONDS)
        for connection in self.connections:
            connection.leave()
        await self._wait(seconds - _FAREWELL_SECONDS)
        complete = not any(one.state is State.ANSWERING for one in self.connections)
        for task in self.connections.values():
            task.cancel()
        await self._wait(_CUT_SECONDS)
        for connection in self.connections:
            connection.abort()
        await self._wait(_FAREWELL_SECONDS)
        return complete

    async def _wait(self, seconds: float) -> None:
        """Until all are gone."""
        if self.connections:
            await asyncio.wait(self.connections.values(), timeout=max(0, seconds))
