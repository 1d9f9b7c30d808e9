"""One request and its response, between the bytes and the application (ASGI 3)."""

import functools
import time
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote

import h11
from starlette.types import Message, Scope

from icnet.serve.errors import BadRequest, HeadersTooLarge, Refused
from icnet.serve.http.wire import Wire
from icnet.serve.service import Service

_MOST_HEADERS = 128
_FREE_CHUNKS, _LEAST_CHUNK_BYTES = 1000, 1024
"""A body of more chunks than the first must have this many bytes per chunk on average: each costs as much as a small request."""

_END = b"\r\n\r\n"
_CLOSE = (b"connection", b"close")
_NO_REQUEST = "this is no correct HTTP/1.1 request"


def head_bytes(received: bytearray, most_bytes: int) -> int | None:
    """Length of the request line and headers that `received` begins with; None if they are not complete.

    Raises:
        HeadersTooLarge: they are, or will be.
        BadRequest: a line ends without CR or goes on in the next, which others might read in another way (RFC 9112, 2.2 and
            5.2); or the beginning cannot be one.
    """
    end = received.find(_END)
    head = received if end < 0 else received[: end + len(_END)]
    lines = head.count(b"\r\n")
    if len(head) > most_bytes or lines > _MOST_HEADERS + 2:
        raise HeadersTooLarge(f"the headers may be {_MOST_HEADERS} at most, with {most_bytes} bytes")
    if head[0] <= 0x20 or head.count(b"\n") != lines or b"\n " in head or b"\n\t" in head:
        raise BadRequest(_NO_REQUEST)
    return None if end < 0 else len(head)


class Exchange:
    """One request and its response.

    Attributes:
        scope: of ASGI.
        refused: what is wrong with the body; the application knows of a client that is gone.
    """

    def __init__(self, head: bytes, wire: Wire, service: Service) -> None:
        """Begin with what `head_bytes` found.

        Raises:
            BadRequest: it is no request that we answer.
        """
        self._wire, self._service = wire, service
        self._h11 = h11.Connection(h11.SERVER, service.limits.header_bytes)
        self.refused: Refused | None = None
        self._body: list[bytes] = []
        self._told = False
        self._chunks = self._chunk_bytes = 0
        self._fed, self._held = bytearray(head), b""
        try:
            self._h11.receive_data(head)
            request = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise BadRequest(_NO_REQUEST) from error
        assert isinstance(request, h11.Request)
        self.scope = _scope(request, wire)
        names = [name for name, _ in request.headers]
        self._chunked = b"transfer-encoding" in names
        if self._chunked and (b"content-length" in names or request.http_version < b"1.1"):
            raise BadRequest("the length of the body is told in two ways")  # and others might believe the other one
        self._parse()

    @property
    def unread(self) -> bool:
        """A part of the body has not come, or is wrong."""
        return self._h11.their_state in (h11.SEND_BODY, h11.ERROR)

    @property
    def begun(self) -> bool:
        """The response, that is."""
        return self._h11.our_state is not h11.SEND_RESPONSE

    @property
    def complete(self) -> bool:
        """The same."""
        return self._h11.our_state in (h11.DONE, h11.MUST_CLOSE)

    @property
    def reusable(self) -> bool:
        """The connection, after a complete response."""
        return self._h11.our_state is self._h11.their_state is h11.DONE

    async def receive(self) -> Message:
        """As ASGI has it."""
        while True:
            self._parse()
            if self.refused or self.complete or self._wire.gone.is_set():
                return {"type": "http.disconnect"}
            if self._body or not (self.unread or self._told):
                body, self._told = b"".join(self._body), not self.unread
                self._body.clear()
                return {"type": "http.request", "body": body, "more_body": self.unread}
            if not self.unread:
                await self._wire.gone.wait()
                continue
            if self._h11.they_are_waiting_for_100_continue:
                self._wire.write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[], reason="Continue")))
            if not await self._wire.more():
                self._wire.close()  # in the middle of a body
                await self._wire.gone.wait()

    async def send(self, message: Message) -> None:
        """As ASGI has it; the client is waited for."""
        if self._wire.gone.is_set() or self.complete:
            return
        if message["type"] == "http.response.start":
            self._parse()
            if self.refused is None:
                self._begin(message)
        elif self.begun:
            body = b"" if self.scope["method"] == "HEAD" else message.get("body", b"")
            data = self._held + (self._h11.send(h11.Data(data=body)) or b"")
            self._held = b""
            if not message.get("more_body", False):
                data += self._h11.send(h11.EndOfMessage()) or b""
            self._wire.write(data)
            await self._wire.flush()

    def _begin(self, message: Message) -> None:
        headers = [(b"date", _date(int(time.time()))), *message.get("headers", ())]
        # Of the rest of a body nothing is of use now, and the client should know before it has sent it.
        if self.unread or self._service.draining:
            headers.append(_CLOSE)
        status = message["status"]
        self._held = self._h11.send(h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)) or b""

    def _parse(self) -> None:
        """Take what is there of the body."""
        try:
            while self.unread and self.refused is None:
                event = self._h11.next_event()
                if event is h11.NEED_DATA:
                    if not self._wire.received:
                        return
                    data = self._wire.take()
                    if self._chunked:
                        self._fed = self._fed[-len(_END) :] + data
                    self._h11.receive_data(data)
                elif isinstance(event, h11.Data):
                    self._add(event)
                else:
                    self._end_body()
        except h11.RemoteProtocolError:
            self.refused = BadRequest(_NO_REQUEST)

    def _add(self, data: h11.Data) -> None:
        """Refuse bodies in tiny chunks, which would keep the event loop busy for seconds."""
        self._body.append(data.data)
        self._chunks += data.chunk_start
        self._chunk_bytes += len(data.data)
        if self._chunks > _FREE_CHUNKS + self._chunk_bytes / _LEAST_CHUNK_BYTES:
            self.refused = BadRequest(f"the body comes in tiny chunks: send {_LEAST_CHUNK_BYTES} bytes or more in each")

    def _end_body(self) -> None:
        """What follows belongs to the next request."""
        rest, _ = self._h11.trailing_data
        if self._chunked and not self._fed[: len(self._fed) - len(rest)].endswith(_END):  # h11 takes LF alone
            self.refused = BadRequest(_NO_REQUEST)
        else:
            self._wire.received[:0] = rest


def _scope(request: h11.Request, wire: Wire) -> Scope:
    if request.http_version not in (b"1.0", b"1.1"):
        raise BadRequest("this server speaks HTTP/1.1")
    path, _, query = request.target.partition(b"?")
    if not path.startswith(b"/"):
        raise BadRequest("the target of a request must be a path that begins with /")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version.decode(),
        **wire.about,
        "method": request.method.decode(),
        "root_path": "",
        "path": unquote(path.decode()),
        "raw_path": path,
        "query_string": query,
        "headers": list(request.headers),
        "state": {},
    }


@functools.lru_cache(1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
