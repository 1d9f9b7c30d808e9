"""Pictures that cost more to decode than their size tells: nobody else may feel them, and the end may not wait for them."""

import asyncio
import gzip
import signal
import struct
import threading
import time
import zlib
from collections import Counter
from io import BytesIO
from typing import Any

import psutil
from PIL import Image

from load.pictures import Picture, classes_of, digest
from load.program import Program, until
from load.results import Figure, spread_ms
from load.wire import Connection, picture_request, request

ATTACKERS = 3
"""As many as the server has workers; each sends one costly picture after another."""

WAIT_MS, PEAK_MIB, AFTER_S = 2000.0, 300.0, 2.0
"""Longest answer of a good picture, memory of all processes above idle, and the end after `--drain-seconds`."""

EVERY_S = 0.5


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    """The file of an image."""
    buffer = BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def chunks(count: int) -> bytes:
    """A PNG of so many empty chunks before its pixels."""
    png, empty = encoded(Image.new("L", (64, 64)), "PNG"), struct.pack(">I4sI", 0, b"teXt", zlib.crc32(b"teXt"))
    return png[:33] + empty * count + png[33:]


def comments(count: int, *, padded: bool = False) -> bytes:
    """A JPEG of so many empty comments; `padded` ones are not seen by who only counts."""
    jpeg = encoded(Image.new("L", (64, 64)), "JPEG")
    return jpeg[:2] + (b"\xff\xff\xfe\0\2" if padded else b"\xff\xfe\0\2") * count + jpeg[2:]


def passes(count: int, size: tuple[int, int] = (64, 64)) -> bytes:
    """A progressive JPEG whose last pass comes so many times more."""
    jpeg = encoded(Image.new("L", size), "JPEG", progressive=True)
    return jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * count + jpeg[-2:]


def tile(side: int) -> bytes:
    """A TIFF of 16x16 pixels in one tile, of which 256 bytes are there."""
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: 256}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<I", 264) + bytes(256) + struct.pack("<H", len(tags)) + entries + bytes(4)


def costly_pictures() -> dict[str, bytes]:
    """Name to file: each takes seconds or a gigabyte where nothing limits it."""
    return {
        "passes": passes(1000, (4000, 4000)),
        "tile": tile(32768),
        "chunks": chunks(2_700_000),
        "comments": comments(8_000_000),
        "padded comments": comments(6_000_000, padded=True),
    }


def costly(program: Program, picture: Picture, expected: str, *, seconds: float, drain_seconds: float) -> list[Figure]:
    """Attack a server, look how others fare, and end it meanwhile.

    Args:
        program: the server, which waits for `drain_seconds` at its end.
        picture: a good one, of which others send two a second.
        expected: digest of its class map.
        seconds: how long.
        drain_seconds: that the server was told.
    """
    attacks = {
        name: request(program.address, "POST", "/v1/segment", gzip.compress(data, 1), Content_Encoding="gzip")
        for name, data in costly_pictures().items()
    }
    good = picture_request(program.address, picture.jpeg)
    asyncio.run(_others(program, good, seconds=2))
    idle = _bytes(program)
    with _Peak(program) as peak:
        answers, refused = asyncio.run(_under_attack(program, list(attacks.items()), good, seconds))
        peak_mib = (peak.most - idle) / 2**20
    end_s = asyncio.run(_end(program, list(attacks.values())))
    wrong = [answer.status for answer in answers if answer.status != 200 or digest(classes_of(answer.body)) != expected]
    return [
        Figure("costly pictures sent", sum(refused.values())),
        *(Figure(f"of them {name}: {status}", count) for (name, status), count in sorted(refused.items())),
        Figure("good pictures", len(answers)),
        Figure.none("of them refused or wrong", [str(status) for status in wrong]),
        *spread_ms("good pictures", [answer.seconds for answer in answers], most=WAIT_MS),
        Figure.at_most("memory above idle, all processes, MiB", peak_mib, PEAK_MIB),
        Figure.at_most(f"end after SIGTERM, beyond {drain_seconds:g} s of drain, s", end_s - drain_seconds, AFTER_S),
    ]


async def _under_attack(program: Program, attacks: list[tuple[str, bytes]], good: bytes, seconds: float):
    refused: Counter[tuple[str, int]] = Counter()
    stop = asyncio.Event()

    async def attack(first: int) -> None:
        async with Connection(program.address) as connection:
            turn = first
            while not stop.is_set():
                name, data = attacks[turn % len(attacks)]
                refused[name, (await connection.send(data)).status] += 1
                turn += 1

    attackers = [asyncio.create_task(attack(number)) for number in range(ATTACKERS)]
    answers = await _others(program, good, seconds=seconds)
    stop.set()
    await asyncio.gather(*attackers)
    return answers, refused


async def _others(program: Program, good: bytes, *, seconds: float):
    """Ask twice a second, whether the answers before have come or not."""

    async def one():
        async with Connection(program.address) as connection:
            return await connection.send(good)

    asked, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds:
        asked.append(asyncio.create_task(one()))
        await asyncio.sleep(EVERY_S)
    return await asyncio.gather(*asked)


async def _end(program: Program, attacks: list[bytes]) -> float:
    """Seconds from SIGTERM to the end, with all attacks just sent."""
    connections = [Connection(program.address) for _ in attacks]
    sent = [asyncio.create_task(connection.send(data)) for connection, data in zip(connections, attacks, strict=True)]
    await asyncio.sleep(0.1)
    program.process.send_signal(signal.SIGTERM)
    took = await asyncio.to_thread(until, lambda: program.process.poll() is not None, 120)
    await asyncio.gather(*sent)
    return 120.0 if took is None else took


def _bytes(program: Program) -> int:
    """Of the server and its decoders; the finer figures of smaps would hold them up."""
    server = psutil.Process(program.process.pid)
    total = 0
    for process in [server, *server.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total


class _Peak:
    """The most memory while it is open, looked at many times a second."""

    def __init__(self, program: Program) -> None:
        self.most, self._program, self._stop = 0, program, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.05):
            self.most = max(self.most, _bytes(self._program))
