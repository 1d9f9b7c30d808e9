"""HTTP/1.1 with as little work per request as possible, because the client shares the cores with the server."""

import asyncio
import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    """0 if the connection broke."""
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes
    seconds: float
    """From before the request was sent, connecting included, to the end of the answer."""


BROKEN = Reply(0, {}, b"", 0.0)


class Connection:
    """One keep-alive connection, opened when it is needed."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def send(self, request: bytes) -> Reply:
        """Send a request (see `request`) and read the answer, which may come before all is sent; never raises.

        A connection that the server closed while it was idle is opened anew, once.
        """
        start, fresh = time.perf_counter(), self._streams is None
        try:
            return await self._exchange(request, start)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.close()
            if fresh:
                return BROKEN
        try:
            return await self._exchange(request, start)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.close()
            return BROKEN

    async def _exchange(self, request: bytes, start: float) -> Reply:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=1 << 20)
        reader, writer = self._streams
        writer.write(request)
        status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Reply(int(status.split()[1]), headers, body, time.perf_counter() - start)

    def close(self) -> None:
        """Let the connection go."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def request(address: tuple[str, int], method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request; underscores in names of headers stand for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def picture_request(address: tuple[str, int], jpeg: bytes) -> bytes:
    """JPEG in, index PNG out."""
    return request(address, "POST", "/v1/segment", jpeg, Content_Type="image/jpeg", Accept="image/png")


async def closed(
    address: tuple[str, int], requests: list[bytes], *, clients: int, seconds: float
) -> tuple[list[tuple[int, Reply]], float]:
    """A few clients, each with one request at a time.

    Returns:
        For each answer the place of its request in `requests`; and how long it all took in seconds.
    """
    start, replies, turn = time.perf_counter(), [], iter(range(1 << 62))

    async def work() -> None:
        async with Connection(address) as connection:
            while time.perf_counter() - start < seconds:
                place = next(turn) % len(requests)
                replies.append((place, await connection.send(requests[place])))

    await asyncio.gather(*(work() for _ in range(clients)))
    return replies, time.perf_counter() - start
