"""SIGTERM while requests are in flight: all are answered, nothing new is taken, and the process ends in time."""

import contextlib
import http.client
import signal
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bars.clients import client
from bars.pictures import Picture, Pictures, decoded, encoded
from bars.program import Program, program, until
from bars.results import Figure

CLIENTS = ("rpc",) * 3 + ("tensors",) * 2 + ("pictures",) * 3
"""In the order in which they come: a server that waits for gRPC only loses the last ones."""

APART_S = 0.02
END_S = 30.0
NOT_READY_S = 0.1

Expected = Callable[[Picture], str]


@dataclass(frozen=True)
class _Round:
    in_flight: int
    faults: list[str]
    off_s: float
    """From SIGTERM until the server is not ready."""
    told: bool
    """Whether it said so, rather than no longer to listen."""
    again: int
    code: int
    end_s: float
    """From SIGTERM until the process has ended."""


def drain(folder: Path, arguments: list[str], paint: Pictures, expected: Expected, *, workers: int, times: int) -> list[Figure]:
    """Start, fill, end, and look, several times.

    Args:
        folder: to run in.
        arguments: of `icnet serve`.
        paint: gives the pictures.
        expected: digest of a picture's class map.
        workers: of the server; as many requests with a very large picture keep them busy until all others have arrived.
        times: how often.
    """
    kinds = ["pictures"] * workers + list(CLIENTS)
    pictures = [_large(paint(number)) if number < workers else paint(number) for number in range(len(kinds))]
    digests = [expected(picture) for picture in pictures]
    rounds = []
    for _ in range(times):
        with program(folder, "--workers", str(workers), *arguments) as running:
            rounds.append(_once(running, kinds, pictures, digests, workers))
    return [
        Figure("rounds", times),
        Figure.at_least("requests in flight at SIGTERM, fewest", min(one.in_flight for one in rounds), len(CLIENTS)),
        Figure.none("requests not answered, or wrongly", [fault for one in rounds for fault in one.faults]),
        Figure.exactly("rounds in which it said that it is not ready", sum(one.told for one in rounds), times),
        Figure.exactly("ready again after it was not", sum(one.again for one in rounds), 0),
        Figure.at_most(
            "seconds from SIGTERM until not ready, longest", max(one.off_s for one in rounds), NOT_READY_S, speed=True
        ),
        Figure.exactly("exit codes", sorted({one.code for one in rounds}), [0]),
        Figure("seconds from SIGTERM to the end, median", statistics.median(one.end_s for one in rounds)),
        Figure.at_most("seconds from SIGTERM to the end, longest", max(one.end_s for one in rounds), END_S, speed=True),
    ]


def _large(picture: Picture) -> Picture:
    """The same again and again, up to just below the limit of pixels."""
    height, width = picture.frame.shape[:2]
    frame = np.tile(picture.frame, (3900 // height, 3900 // width, 1))
    jpeg = encoded(frame)
    return Picture(picture.number, jpeg, decoded(jpeg))


def _once(running: Program, kinds: list[str], pictures: list[Picture], expected: list[str], workers: int) -> _Round:
    go, count = threading.Event(), len(kinds)

    def one(place: int) -> str:
        """What is wrong with the answer; empty if nothing."""
        kind, id = kinds[place], f"drain-{place}"
        try:
            caller = client(kind, running)
            if place >= workers:
                go.wait(30)
                time.sleep((place - workers) * APART_S)
            answer = caller.ask(pictures[place], id)
        except Exception as error:  # whatever it is, this request was lost
            return f"{kind}: {type(error).__name__}: {error}"
        with contextlib.suppress(Exception):
            caller.close()
        if answer.id != id:
            return f"{kind}: another id"
        return "" if answer.digest == expected[place] else f"{kind}: another class map"

    with ThreadPoolExecutor(count) as executor:
        answers = [executor.submit(one, place) for place in range(count)]
        until(lambda: running.in_flight() >= workers, 30, every=0.002)
        go.set()
        until(lambda: running.in_flight() == count or all(answer.done() for answer in answers), 30, every=0.002)
        running.process.send_signal(signal.SIGTERM)
        start = time.perf_counter()
        in_flight = sum(not answer.done() for answer in answers[workers:])
        readiness = _readiness(running)
        faults = [answer.result() for answer in answers if answer.result()]
        code = running.process.wait(2 * END_S)
        return _Round(in_flight, faults, *readiness, code, time.perf_counter() - start)


def _readiness(running: Program) -> tuple[float, bool, int]:
    """Seconds until the server is not ready, whether it says so, and how often it is again after that, until it listens no more."""
    start, off_s, again = time.perf_counter(), None, 0
    while time.perf_counter() - start < END_S:
        try:
            ready = running.ask("GET", "/v2/health/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return time.perf_counter() - start if off_s is None else off_s, off_s is not None, again
        if not ready and off_s is None:
            off_s = time.perf_counter() - start
        again += ready and off_s is not None
        time.sleep(0.01)
    return END_S if off_s is None else off_s, off_s is not None, again
