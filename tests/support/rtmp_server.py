"""A network camera that speaks just enough RTMP for one client: it reads no message, but waits for the words that matter."""

import io
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import av
from camera_server import SIZE_HW, draw

_CONTROL, _COMMANDS, _MEDIA = 2, 3, 4
"""Chunk streams."""

_VIDEO, _COMMAND = 9, 20
"""Types of messages."""


def _text(value: str) -> bytes:
    return b"\2" + struct.pack(">H", len(value)) + value.encode()


def _number(value: float) -> bytes:
    return b"\0" + struct.pack(">d", value)


def _status(code: str) -> bytes:
    pairs = {"level": "status", "code": code}.items()
    members = b"".join(struct.pack(">H", len(name)) + name.encode() + _text(value) for name, value in pairs)
    return b"\3" + members + b"\0\0\x09"


def _message(kind: int, body: bytes, *, on: int, stream: int = 0, time_ms: int = 0) -> bytes:
    """A message in chunks of 128 bytes."""
    head = bytes([on]) + time_ms.to_bytes(3, "big") + len(body).to_bytes(3, "big") + bytes([kind]) + struct.pack("<I", stream)
    return head + bytes([0xC0 | on]).join(body[start : start + 128] for start in range(0, len(body), 128))


def _tags(count: int) -> Iterator[tuple[int, bytes]]:
    """Time and content of the video tags of so many numbered pictures."""
    file = io.BytesIO()
    with av.open(file, "w", format="flv") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency"})
        video.height, video.width, video.pix_fmt = *SIZE_HW, "yuv420p"
        for number in range(count):
            container.mux(video.encode(av.VideoFrame.from_ndarray(draw(number), format="bgr24")))
        container.mux(video.encode(None))
    data, place = file.getvalue(), 13
    while place < len(data):
        size = int.from_bytes(data[place + 1 : place + 4], "big")
        if data[place] == _VIDEO:
            yield int.from_bytes(data[place + 4 : place + 7], "big"), data[place + 11 : place + 11 + size]
        place += 11 + size + 4


def _serve(listening: socket.socket, pictures: int) -> None:
    client, _ = listening.accept()
    with client, client.makefile("rb") as sent, suppress(ConnectionError):  # the client goes when it likes

        def until(word: bytes) -> None:
            seen = b""
            while not seen.endswith(word):
                seen += sent.read(1) or word  # or the client has gone

        sent.read(1537)
        client.sendall(b"\3" + bytes(2 * 1536))
        until(b"connect")
        success = _text("_result") + _number(1) + b"\5" + _status("NetConnection.Connect.Success")
        client.sendall(_message(5, struct.pack(">I", 2_500_000), on=_CONTROL) + _message(_COMMAND, success, on=_COMMANDS))
        until(b"createStream")
        (transaction,) = struct.unpack(">xd", sent.read(9))
        client.sendall(_message(_COMMAND, _text("_result") + _number(transaction) + b"\5" + _number(1), on=_COMMANDS))
        until(b"play")
        start = _text("onStatus") + _number(0) + b"\5" + _status("NetStream.Play.Start")
        client.sendall(_message(_COMMAND, start, on=_COMMANDS, stream=1))
        for time_ms, tag in _tags(pictures):
            client.sendall(_message(_VIDEO, tag, on=_MEDIA, stream=1, time_ms=time_ms))
        while sent.read(1 << 10):
            pass


@contextmanager
def rtmp_camera(pictures: int) -> Iterator[str]:
    """The address at which so many pictures, numbered from 0, are played."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, pictures), daemon=True).start()
        yield f"rtmp://127.0.0.1:{listening.getsockname()[1]}/live/street"
