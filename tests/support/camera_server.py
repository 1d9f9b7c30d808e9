"""Network cameras for tests: they send numbered pictures on loopback, and fail in every way that they are told to.

A server lives in one thread, however many clients it has. Use it in a `with` statement.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import cv2
import numpy as np

RATE = 50
"""Pictures per second."""

SIZE_HW = (48, 64)

_BLOCK = 16
"""Side of the squares, each black or white, whose row is the picture's number in binary."""

_NUMBERS = 1 << (SIZE_HW[1] // _BLOCK * (SIZE_HW[0] // _BLOCK))


def draw(number: int) -> np.ndarray:
    """The (48, 64, 3) uint8 BGR picture of `number`, which survives a lossy encoder."""
    bits = np.array([number % _NUMBERS >> bit & 1 for bit in range(12)], np.uint8).reshape(3, 4)
    return np.repeat(np.kron(bits * 255, np.ones((_BLOCK, _BLOCK), np.uint8))[..., None], 3, axis=2)


def number_of(image: np.ndarray) -> int:
    """The number of a picture as it was received; it starts again at 4096."""
    middles = image[_BLOCK // 2 :: _BLOCK, _BLOCK // 2 :: _BLOCK, 1].ravel()
    return sum(int(middle > 127) << bit for bit, middle in enumerate(middles))


class CameraServer(contextlib.AbstractContextManager["CameraServer"]):
    """A camera on 127.0.0.1; it serves from the start.

    Attributes:
        sent: number of the newest picture.
        accepted: how many clients have come so far.
    """

    scheme = ""

    def __init__(self) -> None:
        self.sent = self.accepted = 0
        self._mode = "serve"
        self._clients: set[asyncio.StreamWriter] = set()
        self._playing: dict[asyncio.StreamWriter, Callable[[bytes], bytes]] = {}
        self._loop = asyncio.new_event_loop()
        self._held = _bound(0)
        self.port: int = self._held.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="camera-server", daemon=True)
        self._thread.start()
        self.serve()

    def __exit__(self, *_: object) -> None:
        self.drop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._held.close()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/live"

    def serve(self) -> None:
        """Answer, and send pictures to all, those included who were left without."""
        self._become("serve")

    def drop(self) -> None:
        """Close all connections, and refuse new ones."""
        self._become("drop")

    def stall(self) -> None:
        """Keep the connections but send nothing; new clients get a proper answer and then no picture."""
        self._become("stall")

    def silent(self) -> None:
        """Close all connections; accept new ones and say nothing."""
        self._become("silent")

    def garbage(self) -> None:
        """Close all connections; send new clients bytes without a meaning."""
        self._become("garbage")

    def chunk(self, number: int) -> bytes:
        """Picture `number`, encoded."""
        raise NotImplementedError

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Callable[[bytes], bytes]:
        """Do what comes before the pictures; returns what wraps each chunk for this client."""
        raise NotImplementedError

    def _run(self) -> None:
        self._server: asyncio.Server | None = None
        pacing = self._loop.create_task(self._pace())
        self._loop.run_forever()
        pacing.cancel()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _become(self, mode: str) -> None:
        asyncio.run_coroutine_threadsafe(self._switch(mode), self._loop).result(10)

    async def _switch(self, mode: str) -> None:
        self._mode = mode
        if mode in ("drop", "silent", "garbage"):
            for writer in list(self._clients):
                writer.transport.abort()
        if mode == "drop" and self._server is not None:
            self._server.close()
            self._server = None
            self._held = _bound(self.port)  # so that nobody else gets the port; it refuses as long as it does not listen
        elif mode != "drop" and self._server is None:
            self._server = await asyncio.start_server(self._client, sock=self._held)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._clients.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            try:
                if self._mode == "garbage":
                    writer.write(np.random.default_rng(self.accepted).bytes(1 << 16))
                    await writer.drain()
                elif self._mode != "silent":
                    self._playing[writer] = await self.greet(reader, writer)
                while await reader.read(1 << 16):  # until the client goes
                    pass
            finally:
                self._playing.pop(writer, None)
                self._clients.discard(writer)
                writer.close()

    async def _pace(self) -> None:
        next_s = self._loop.time()
        while True:
            self.sent += 1
            chunk = self.chunk(self.sent)
            if self._mode == "serve":
                for writer, wrap in self._playing.items():
                    writer.write(wrap(chunk))
            next_s += 1 / RATE
            await asyncio.sleep(max(0, next_s - self._loop.time()))


class HttpCamera(CameraServer):
    """JPEG pictures in one endless HTTP answer (multipart/x-mixed-replace)."""

    scheme = "http"

    def jpeg(self, number: int) -> bytes:
        """Picture `number` as a file; for cameras that send something else."""
        return cv2.imencode(".jpg", draw(number))[1].tobytes()

    def chunk(self, number: int) -> bytes:
        jpeg = self.jpeg(number)
        return b"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Callable[[bytes], bytes]:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=picture\r\n\r\n")
        return lambda chunk: chunk


class RtspCamera(CameraServer):
    """MPEG-2 video, to be shown as 16:9, in an MPEG transport stream over RTP, interleaved in the RTSP connection."""

    scheme = "rtsp"

    def __init__(self) -> None:
        self._sink = _Bytes()
        self._muxer = av.open(self._sink, "w", format="mpegts")
        self._stream = self._muxer.add_stream("mpeg2video", rate=RATE, options={"g": "12"})
        self._stream.height, self._stream.width = SIZE_HW
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.thread_count, self._stream.codec_context.sample_aspect_ratio = 1, Fraction(4, 3)
        super().__init__()

    def chunk(self, number: int) -> bytes:
        frame = av.VideoFrame.from_ndarray(draw(number), format="bgr24")
        frame.pts = number
        self._muxer.mux(self._stream.encode(frame))
        return self._sink.take()

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Callable[[bytes], bytes]:
        sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
        answers = {
            "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN", ""),
            "DESCRIBE": (f"Content-Base: {self.url}/\r\nContent-Type: application/sdp", sdp),
            "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1", ""),
        }
        method = ""
        while method != "PLAY":
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            method = request.split()[0]
            sequence = next(line for line in request.split("\r\n") if line.lower().startswith("cseq"))
            header, body = answers.get(method, ("", ""))
            lines = ["RTSP/1.0 200 OK", sequence, "Session: 1", f"Content-Length: {len(body)}", *([header] if header else [])]
            writer.write("\r\n".join([*lines, "", body]).encode())
        sequence_numbers = iter(range(1 << 62))
        return lambda chunk: b"".join(_rtp(chunk, sequence_numbers))


class _Bytes:
    """A file that keeps what was written until it is taken."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._written = b"".join(self._written), []
        return taken


def _rtp(transport_stream: bytes, numbers: Iterator[int]) -> Iterator[bytes]:
    """Packets of RFC 2250 (at most seven of MPEG's, 90 kHz), each framed as RFC 2326 interleaves them."""
    for start in range(0, len(transport_stream), 7 * 188):
        payload = transport_stream[start : start + 7 * 188]
        number = next(numbers)
        header = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, number * 3600 & 0xFFFFFFFF, 1)
        yield struct.pack(">cBH", b"$", 0, len(header) + len(payload)) + header + payload


def _bound(port: int) -> socket.socket:
    """A socket that has the port but does not listen yet."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    return held
