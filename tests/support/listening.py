"""The HTTP server of an application, in a thread, and clients that speak to it byte by byte."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from icnet.serve.http.listener import Listener
from icnet.serve.limits import Limits
from icnet.serve.metrics import Metrics
from icnet.serve.pool import Pool
from icnet.serve.service import Service


def bare_service(limits: Limits | None = None, **others: Any) -> Service:
    """A service without a model."""
    metrics, limits = Metrics(), limits or Limits()
    return Service(cast(Any, None), Pool(1, limits.queue, metrics), limits, metrics, **others)


@contextmanager
def listening(service: Service, app: Any, tls: ssl.SSLContext | None = None) -> Iterator["Listening"]:
    """Serve `app`; whatever asyncio complains about fails the test."""
    server, complaints, stalls, loops = Listener(app, service, tls), [], [0.0], []
    listener, stop = socket.create_server(("127.0.0.1", 0), backlog=128), asyncio.Event()
    port = listener.getsockname()[1]

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            stalls.append(time.perf_counter() - before - 0.005)

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        loops[0].set_exception_handler(lambda _, context: complaints.append(context))
        watching = asyncio.create_task(watch())
        server.listen(listener)
        await stop.wait()
        service.draining = True
        await server.close(3)
        watching.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        until(lambda: loops)
        yield Listening(port, server, stalls, loops[0], stop)
    finally:
        if not stop.is_set():
            loops[0].call_soon_threadsafe(stop.set)
        thread.join(15)
    assert not thread.is_alive()
    assert not complaints, complaints


class Listening:
    def __init__(
        self, port: int, server: Listener, stalls: list[float], loop: asyncio.AbstractEventLoop, stop: asyncio.Event
    ) -> None:
        self.port, self.server, self.stalls, self.loop, self._stop = port, server, stalls, loop, stop

    def end(self) -> None:
        """Begin to end, as the server does."""
        self.loop.call_soon_threadsafe(self._stop.set)

    @contextmanager
    def client(self, seconds: float = 10, *, receive_bytes: int | None = None) -> Iterator[socket.socket]:
        """A connection; `receive_bytes` makes what the system reads ahead small."""
        with socket.socket() as client:
            if receive_bytes is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
            client.settimeout(seconds)
            client.connect(("127.0.0.1", self.port))
            yield client

    def exchange(self, request: bytes, seconds: float = 10) -> bytes:
        """Send something and read until the server closes."""
        with self.client(seconds) as client:
            client.sendall(request)
            return read_all(client)


def read_all(client: socket.socket) -> bytes:
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_answer(client: socket.socket, *, more: bool = False) -> tuple[int, bytes, bytes]:
    """Status, head and body of one answer that says its length, after which there may be more."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(65536)
        assert part, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        part = client.recv(65536)
        assert part, data
        body += part
    assert more or len(body) == length
    return int(head.split()[1]), head.lower(), body


def refusal(answer: bytes) -> tuple[int, str]:
    """Status and sentence of an error."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]


def until(true: Callable[[], Any], seconds: float = 8) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
