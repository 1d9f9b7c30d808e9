"""Bodies of requests: sizes, codings, time, and the memory that they take."""

import asyncio
import gzip
import subprocess
import sys
import time
import zlib
from pathlib import Path
from random import Random

import pytest
from listening import bare_service
from starlette.requests import ClientDisconnect, Request

from icnet.serve.errors import BadRequest, Draining, Overloaded, TooLarge, TooSlow, UnsupportedMedia
from icnet.serve.http.body import received
from icnet.serve.limits import Limits

SUPPORT = Path(__file__).resolve().parents[2] / "support"

MIB = 1 << 20


def request(*chunks: bytes | float, disconnect: bool = False, length: int | None = None, **headers: str) -> Request:
    """A request whose body comes in chunks; a number is a pause."""
    left = list(chunks)

    async def receive():
        while left and isinstance(left[0], float):
            await asyncio.sleep(left.pop(0))
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or disconnect}
        return {"type": "http.disconnect"} if disconnect else {"type": "http.request", "body": b"", "more_body": False}

    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if length is not None:
        named["content-length"] = str(length)
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(n.encode(), v.encode()) for n, v in named.items()]}
    return Request(scope, receive)


def read(request: Request, service=None, limits: Limits | None = None) -> bytes:
    """The body; whatever happens, nothing may stay booked."""
    service = service or bare_service(limits)

    async def run() -> bytes:
        async with received(request, service) as body:
            assert isinstance(body, bytes)
            assert service.budget.held_bytes == len(body)
            return body

    try:
        return asyncio.run(run())
    finally:
        assert service.budget.held_bytes == 0
        assert service.metrics.registry.get_sample_value("icnet_buffered_bytes") == 0


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def test_plain_bodies():
    assert read(request()) == b""
    assert read(request(b"abc", b"", b"def")) == b"abcdef"
    assert read(request(b"abc", length=3, content_encoding="Identity")) == b"abc"


def test_the_stage_is_timed():
    service = bare_service()
    read(request(b"abc", 0.05, b"d"), service)
    assert service.metrics.registry.get_sample_value("icnet_stage_seconds_sum", {"stage": "read"}) > 0.04


def test_the_limit_is_exact():
    limits = Limits(body_bytes=10)
    assert read(request(b"12345", b"67890"), limits=limits) == b"1234567890"
    with pytest.raises(TooLarge, match="10 bytes"):
        read(request(b"12345", b"678901"), limits=limits)


@pytest.mark.parametrize("length", ["11", "9" * 30])
def test_a_declared_length_is_refused_unread(length):
    asked = request(content_length=length)
    asked._receive = None  # reading would fail
    with pytest.raises(TooLarge):
        read(asked, limits=Limits(body_bytes=10))


@pytest.mark.parametrize("length", ["-1", "1.5", "ten", "", "²", "1_0"])
def test_lengths_that_are_no_numbers(length):
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", length.encode("latin-1"))]}
    with pytest.raises(BadRequest):
        read(Request(scope))


@pytest.mark.parametrize("size", [0, 1, 1000, 3 * MIB + 17])
@pytest.mark.parametrize("compressible", [True, False])
@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
)
def test_codings_are_undone(coding, compress, compressible, size):
    data = b"ab" * (size // 2) if compressible else Random(1).randbytes(size)
    sent = compress(data)
    chunks = [sent[start : start + 100_000] for start in range(0, len(sent), 100_000)]
    assert read(request(*chunks, content_encoding=coding)) == data


def test_every_raw_deflate_stream_is_told_from_zlib():
    for sign in range(0, 256, 9):
        data = bytes([sign]) * 3
        assert read(request(raw_deflate(data), content_encoding="deflate")) == data


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, br", "identity, gzip", "compress", "*", "gzip;q=1"])
def test_other_codings(coding):
    asked = request(content_encoding=coding)
    asked._receive = None
    with pytest.raises(UnsupportedMedia, match="gzip or deflate"):
        read(asked)


def test_two_coding_headers():
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-encoding", b"gzip")] * 2}
    with pytest.raises(UnsupportedMedia):
        read(Request(scope))


def exactly(length: int) -> bytes:
    """A gzip stream of so many bytes."""
    return next(body for size in range(length - 200, length) if len(body := gzip.compress(bytes(size), 0)) == length)


@pytest.mark.parametrize(
    "body",
    [
        exactly(65536) + b"x",
        b"\x1f",
        gzip.compress(b"x" * 1000)[:-1],
        gzip.compress(b"x" * 1000)[:-8],
        gzip.compress(b"x" * 1000)[:15],
        gzip.compress(b"x" * 1000)[:-6] + b"123456",
        b"no gzip at all",
        zlib.compress(b"x" * 1000),
        gzip.compress(b"x") + b"rest",
        gzip.compress(b"x") * 2,
        gzip.compress(b"x") + bytes(200_000),
        gzip.compress(bytes(3 * MIB))[:-8],
    ],
    ids=lambda body: f"{len(body)} bytes",  # gzip writes the time, and two processes must give a test the same name
)
def test_damaged_bodies(body):
    with pytest.raises(BadRequest):
        read(request(body, content_encoding="gzip"))


def test_the_limit_after_decompression_is_exact():
    limits = Limits(decompressed_bytes=2 * MIB)
    assert len(read(request(gzip.compress(bytes(2 * MIB)), content_encoding="gzip"), limits=limits)) == 2 * MIB
    with pytest.raises(TooLarge, match="decompressed"):
        read(request(gzip.compress(bytes(2 * MIB + 1)), content_encoding="gzip"), limits=limits)


def test_slow_bodies():
    begun = time.monotonic()
    with pytest.raises(TooSlow, match=r"0\.3 seconds"):
        read(request(*[b"x", 0.1] * 50, b"x"), limits=Limits(body_seconds=0.3))
    assert time.monotonic() - begun < 1


def test_bodies_get_less_time_when_the_server_is_about_to_end(monkeypatch):
    monkeypatch.setattr("icnet.serve.http.body._DRAINING_SECONDS", 0.3)
    monkeypatch.setattr("icnet.serve.http.body._LOOK_SECONDS", 0.05)
    service = bare_service()

    async def run(*chunks):
        async def drain():
            await asyncio.sleep(0.2)
            service.draining = True

        service.draining = False
        draining, begun = asyncio.create_task(drain()), time.monotonic()
        try:
            async with received(request(*chunks), service) as body:
                return body
        finally:
            await draining
            assert time.monotonic() - begun < 1

    with pytest.raises(TooSlow, match="about to end"):
        asyncio.run(run(b"x", 60.0, b"x"))
    assert asyncio.run(run(b"x", 0.35, b"y")) == b"xy"
    assert service.budget.held_bytes == 0


def test_clients_that_leave():
    with pytest.raises(ClientDisconnect):
        read(request(b"abc", disconnect=True))


def test_nothing_is_read_when_there_is_no_room():
    service = bare_service(draining=True)
    asked = request(b"abc")
    asked._receive = None
    with pytest.raises(Draining):
        read(asked, service)
    service = bare_service()
    service.pool._admitted = 1000
    with pytest.raises(Overloaded):
        read(asked, service)


def test_all_bodies_share_one_budget():
    service = bare_service(Limits(body_bytes=10, decompressed_bytes=10, buffered_bytes=10))

    async def run():
        async with received(request(b"123456"), service):
            with pytest.raises(Overloaded):
                async with received(request(b"1234", b"5"), service):
                    pass
            assert service.budget.held_bytes == 6
            async with received(request(b"1234"), service):
                assert service.metrics.registry.get_sample_value("icnet_buffered_bytes") == 10
        async with received(request(b"1234567890"), service):
            pass

    asyncio.run(run())
    assert service.budget.held_bytes == 0
    limits = Limits(body_bytes=500, decompressed_bytes=500, buffered_bytes=500)
    with pytest.raises(Overloaded):
        read(request(gzip.compress(b"x" * 490), content_encoding="gzip"), limits=limits)


def test_a_cancelled_request_gives_its_memory_back():
    service = bare_service()

    async def run():
        async def forever():
            async with received(request(b"x" * 1000, 60.0), service):
                pass

        task = asyncio.create_task(forever())
        await asyncio.sleep(0.05)
        assert service.budget.held_bytes == 1000
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert service.budget.held_bytes == 0


def peak_growth_mib(prepare: str, act: str) -> float:
    """What a coroutine's lines take at most, in a process of its own.

    VmHWM begins anew with each program; `ru_maxrss` is inherited from the parent and would hide everything. The body must stay
    inside the coroutine: `asyncio.run` takes the repr of a task with its result, three times the size of the body.
    """
    lines = [
        "import psutil",
        f"import sys; sys.path += [{str(SUPPORT)!r}]",
        "from test_body import *",
        prepare,
        "async def run():",
        *("    " + line for line in act.splitlines()),
    ]
    lines += ["before = psutil.Process().memory_info().rss / 1024", "asyncio.run(run())"]
    lines += ["status = dict(line.split(':', 1) for line in open('/proc/self/status'))"]
    lines += ["print((int(status['VmHWM'].split()[0]) - before) / 1024)"]
    folder = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True, cwd=folder)
    return float(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_memory_that_bodies_take():
    bomb = """
zeros, stream = bytes(1 << 20), zlib.compressobj(1, wbits=31)
bomb = b"".join(stream.compress(zeros) for _ in range(100)) + stream.flush()
assert len(bomb) < 1 << 20
"""
    act = """with pytest.raises(TooLarge):
    async with received(request(bomb, content_encoding="gzip"), bare_service()):
        pass"""
    assert peak_growth_mib(bomb, act) < 45  # 32 are allowed, of 100
    many = """
left = list(range(256))
async def receive():
    return {"type": "http.request", "body": bytes([left.pop()]) * (1 << 16), "more_body": bool(left)}
asked = request()
asked._receive = receive
"""
    act = """async with received(asked, bare_service()) as body:
    assert len(body) == 16 << 20"""
    assert peak_growth_mib(many, act) < 16 * 1.5  # it never lies there twice


def test_the_loop_runs_on_during_decompression():
    gaps = []

    async def run():
        async def tick():
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0)
                gaps.append(time.perf_counter() - before)

        ticking = asyncio.create_task(tick())
        async with received(request(gzip.compress(bytes(60 * MIB), 1), content_encoding="gzip"), service) as body:
            assert len(body) == 60 * MIB
        ticking.cancel()

    service = bare_service(Limits(decompressed_bytes=60 * MIB))
    asyncio.run(run())
    assert len(gaps) > 60
    assert sorted(gaps)[-5] < 0.05
