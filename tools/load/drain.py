"""SIGTERM while requests are in flight: all are answered, nothing new is taken, and the process ends in time."""

import contextlib
import http.client
import signal
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from load.clients import client
from load.pictures import Picture, Pictures, decoded, encoded
from load.program import Program, program, until
from load.results import Figure

GROUPS = (("rpc",) * 3, ("tensors",) * 2 + ("pictures",) * 3)
"""They come one after the other, in turns the one and the other first: a server that waits for one only loses the other."""

LARGE_BEFORE, LARGE_BETWEEN = 1, 2
"""Requests per worker with very large pictures, which keep it busy until all have arrived, and then between the groups."""

APART_S = 0.01
"""From one request to the next, which keeps them in order."""

END_S = 30.0
NOT_READY_S = 0.1

Expected = Callable[[Picture], str]


@dataclass(frozen=True)
class _Wanted:
    kind: str
    picture: Picture
    digest: str


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
        workers: of the server.
        times: how often.
    """
    orders = [_order(workers, GROUPS), _order(workers, GROUPS[::-1])]
    first = LARGE_BEFORE * workers
    small = [paint(number) for number in range(len(orders[0]))]
    large = [_large(picture) for picture in small[: first + LARGE_BETWEEN * workers]]
    digests = {id(picture): expected(picture) for picture in (*small, *large)}
    rounds = []
    for turn in range(times):
        wanted, spare = [], iter(large)
        for (kind, is_large), picture in zip(orders[turn % 2], small, strict=True):
            chosen = next(spare) if is_large else picture
            wanted.append(_Wanted(kind, chosen, digests[id(chosen)]))
        with program(folder, "--workers", str(workers), *arguments) as running:
            rounds.append(_once(running, wanted, first))
    return [
        Figure("rounds", times),
        # How many wait is chance, since decoding holds up no worker; the last to arrive is there in any case.
        Figure.at_least("requests in flight at SIGTERM, fewest", min(one.in_flight for one in rounds), 1),
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


def _order(workers: int, groups: Sequence[Sequence[str]]) -> list[tuple[str, bool]]:
    """Kind of client, and whether with a very large picture."""
    large = ("pictures", True)
    early, late = ([(kind, False) for kind in group] for group in groups)
    return [*[large] * (LARGE_BEFORE * workers), *early, *[large] * (LARGE_BETWEEN * workers), *late]


def _large(picture: Picture) -> Picture:
    """The same again and again, up to just below the limit of pixels."""
    height, width = picture.frame.shape[:2]
    frame = np.tile(picture.frame, (3900 // height, 3900 // width, 1))
    jpeg = encoded(frame)
    return Picture(picture.number, jpeg, decoded(jpeg))


def _once(running: Program, wanted: list[_Wanted], first: int) -> _Round:
    go, count = threading.Event(), len(wanted)

    def one(place: int) -> str:
        """What is wrong with the answer; empty if nothing."""
        kind, name = wanted[place].kind, f"drain-{place}"
        try:
            caller = client(kind, running)
            if place >= first:
                go.wait(30)
                time.sleep((place - first) * APART_S)
            answer = caller.ask(wanted[place].picture, name)
        except Exception as error:  # whatever it is, this request was lost
            return f"{kind}: {type(error).__name__}: {error}"
        with contextlib.suppress(Exception):
            caller.close()
        if answer.id != name:
            return f"{kind}: another id"
        return "" if answer.digest == wanted[place].digest else f"{kind}: another class map"

    with ThreadPoolExecutor(count) as executor:
        answers = [executor.submit(one, place) for place in range(count)]
        decoded = r'icnet_stage_seconds_count\{stage="decode"\}'  # then a worker has it, which others must wait for
        until(lambda: running.metric(decoded) >= first, 30, every=0.002)
        go.set()
        until(lambda: running.in_flight() + sum(answer.done() for answer in answers) >= count, 30, every=0.002)
        running.process.send_signal(signal.SIGTERM)
        start = time.perf_counter()
        in_flight = sum(not answer.done() for answer in answers)
        readiness = _readiness(running)
        faults = [answer.result() for answer in answers if answer.result()]
        code = running.process.wait(2 * END_S)
        return _Round(in_flight, faults, *readiness, code, time.perf_counter() - start)


def _readiness(running: Program) -> tuple[float, bool, int]:
    """Seconds until the server is not ready, whether it says so, and how often it is ready again until it listens no more."""
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
