"""Requests that are small to send and would be large, deep or endless to take."""

import contextlib
import functools
import select
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator

from load.program import Program

_HUGE = 256 << 20
_OPEN = "no answer, still open"


def bombs(program: Program) -> dict[str, Counter[str]]:
    """Throw all of them.

    Returns:
        For each kind the HTTP statuses, or how else the connection ended, and how often.
    """
    name = program.model()["name"]
    infer, segment = f"/v2/models/{name}/infer", "/v1/segment"
    kinds: dict[str, list[Iterable[bytes]]] = {
        "compressed": [_post(path, body, f"Content-Encoding: {how}") for path in (segment, infer) for how, body in _compressed()],
        "JSON": [_post(infer, body, "Content-Type: application/json", *more) for body, more in _documents()],
        "pictures": [_post(segment, body, "Content-Type: image/png") for body in _pictures()],
        "chunks": [_chunked(segment, chunks) for chunks in _chunks()],
        "headers": list(_headers(segment)),
    }
    return {kind: Counter(shout(program.address, pieces) for pieces in every) for kind, every in kinds.items()}


def shout(address: tuple[str, int], pieces: Iterable[bytes], *, seconds: float = 45) -> str:
    """Send pieces until there is an answer.

    Returns:
        The HTTP status, `closed` if the connection ended without one, or `no answer, still open`.
    """
    with socket.create_connection(address, timeout=seconds) as connection:
        with contextlib.suppress(OSError):
            for piece in pieces:
                if select.select([connection], [], [], 0)[0]:
                    break
                connection.sendall(piece)
        try:
            start = connection.recv(16)
        except TimeoutError:
            return _OPEN
        except OSError:
            return "closed"
    return start[9:12].decode("ascii", "replace") if start.startswith(b"HTTP/") else "closed"


def slow_connections(program: Program, count: int, *, seconds: float = 45) -> Counter[str]:
    """Connections that send their headers, or their body, a byte at a time; normal requests go on meanwhile.

    Args:
        program: the server.
        count: connections at one time.
        seconds: until it must have ended them all.

    Returns:
        How they ended, and how often; and how health requests were answered.
    """
    codes: Counter[str] = Counter()
    starts = [b"POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", _head("POST", "/v1/segment", "Content-Length: 100000")]

    def drip(number: int) -> Iterator[bytes]:
        yield starts[number % 2]
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            time.sleep(0.2)
            yield b"x"

    def one(number: int) -> None:
        codes[shout(program.address, drip(number), seconds=5)] += 1

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    codes[f"{program.ask('GET', '/v2/health/live')[0]} (health meanwhile)"] += 1
    for thread in threads:
        thread.join()
    return codes


def _head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode("latin-1")


def _post(path: str, body: bytes, *lines: str) -> list[bytes]:
    return [_head("POST", path, f"Content-Length: {len(body)}", *lines), body]


def _compressed() -> list[tuple[str, bytes]]:
    """Content-Encoding and body."""
    gzip, deflate = _squeezed(31), _squeezed(15)
    twice = _squeezed(31, gzip)
    bodies = [("gzip", gzip), ("deflate", deflate), ("gzip, gzip", twice), ("br", gzip), ("gzip", _squeezed(31, b"ab") * 100_000)]
    return [*bodies, ("gzip", gzip[:-100]), ("gzip", gzip[:20] * 1000), ("gzip", b"no gzip at all"), ("gzip", b"")]


@functools.cache
def _squeezed(bits: int, data: bytes | None = None) -> bytes:
    """`data`, or very many zeros, compressed."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, bits)
    blocks = [data] if data is not None else [bytes(1 << 20)] * (_HUGE >> 20)
    return b"".join(map(squeezer.compress, blocks)) + squeezer.flush()


def _documents() -> Iterator[tuple[bytes, list[str]]]:
    """JSON body and further headers."""
    for text in (b"[" * 1_000_000, b'{"a":' * 200_000, b"[" * 17 + b"]" * 17, b'{"inputs":' * 1000 + b"1" + b"}" * 1000):
        yield text, []
    for text in (b"1" * 1_000_000, b'{"inputs": 1e999999}', b"NaN", b"", b"\xff\xfe", b'"' + b"\\u0000" * 1000 + b'"', b"[]"):
        yield text, []
    yield b'{"inputs":[' + b'{"name":"data","shape":[1],"datatype":"UINT8","data":[0]},' * 20_000 + b"{}]}", []
    yield b'{"inputs":[{"name":"data","shape":[1,1,1,3],"datatype":"UINT8","data":[' + b"0," * 5_000_000 + b"0]}]}", []
    yield b'{"inputs":[{"name":"' + b"x" * (15 << 20), []
    yield _squeezed(31, b"x" * (32 << 20)), ["Content-Encoding: gzip"]
    for length in ("-1", "99999999999999999999", "1", "0", "x", "1e3", "\xb2"):
        yield b'{"inputs":[]}', [f"Inference-Header-Content-Length: {length}"]


def _pictures() -> list[bytes]:
    """Files that claim to be large, or to be pictures."""
    sizes = ((60_000, 60_000), (0, 0), (2**31 - 1, 1), (1, 2**31 - 1), (4000, 3999))
    zeros = b"x\0\0" + _squeezed(15)
    jpeg = b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(40)
    starts = [b"GIF89a", b"II*\0", b"BM", b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"%PDF-1.7", b"<svg/>"]
    claims = [*(_png(*size) for size in sizes), _png(8, 8, _chunk(b"iCCP", zeros), _chunk(b"zTXt", zeros))]
    return [*claims, jpeg, b"", b"\xff\xd8", *(start + b"\xff" * 64 for start in starts)]


def _png(width: int, height: int, *extras: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extras) + _chunk(b"IDAT", zlib.compress(bytes(1000))) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunked(path: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
    yield _head("POST", path, "Transfer-Encoding: chunked", "Content-Type: image/png")
    yield from chunks


def _chunks() -> Iterator[Iterable[bytes]]:
    """Bodies in the chunked coding."""
    yield [b"FFFFFFFFFFFFFFFF\r\n" + bytes(1000)]
    for line in (b"-1\r\n", b"xyz\r\n", b"\r\n", b"0x10\r\n", b"1;" + b"a" * 1_000_000 + b"\r\nx\r\n"):
        yield [line]
    yield [b"10000\r\n" + bytes(0x10000) + b"\r\n"] * 1000
    yield [b"1\r\nx\r\n" * 1000] * 100
    yield [b"5\r\nhello\r\n0\r\n" + b"trailer: x\r\n" * 10_000 + b"\r\n"]


def _headers(path: str) -> Iterator[list[bytes]]:
    """Request lines and headers that are too many, too long, or none."""
    for line in ("X: " + "a" * 1_000_000, "X" * 100_000 + ": a", "X: a\0b", "X\x01: a", ": a", "X : a", "Host: other"):
        yield [_head("GET", path, line)]
    yield [_head("GET", path, *[f"X{number}: a" for number in range(20_000)])]
    for length in ("-1", "99999999999999999999999", "1e3", "5, 6", "\xb2"):
        yield [_head("POST", path, f"Content-Length: {length}"), b"hello"]
    yield [_head("POST", path, "Content-Length: 5", "Content-Length: 6"), b"hello!"]
    yield [_head("POST", path, "Content-Length: 5", "Transfer-Encoding: chunked"), b"0\r\n\r\n"]
    for line in (
        "GET /" + "a" * 1_000_000,
        "GET /\xff\xfe",
        "GET",
        "\0\0\0\0",
        "GET / HTTP/9.9",
        "PRI * HTTP/2.0",
        "\x16\x03\x01\x02\x00",
    ):
        yield [line.encode("latin-1") + b" HTTP/1.1\r\n\r\n"]
    for line in (
        "CONNECT example.org:443",
        "TRACE /",
        "OPTIONS *",
        "BREW /v1/segment",
        "GET http://example.org/",
        "GET /../../etc/passwd",
    ):
        yield [f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()]
