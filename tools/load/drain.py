"""SIGTERM while requests are in flight: all are answered, nothing new is taken, and the process ends in time."""

import contextlib
import http.client
import signal
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from load.clients import client
from load.pictures import Picture, Pictures
from load.program import Program, program, until
from load.results import Figure

GROUPS = (("rpc",) * 4, ("tensors",) * 3 + ("pictures",) * 3)
"""They come one after the other, in turns the one and the other first: a server that waits for one only loses the other."""

HOLD = """
import pathlib, time
from icnet.runtime.engine import Engine
infer = Engine.infer
def held(*given):
    while pathlib.Path("hold").exists():
        time.sleep(0.002)
    return infer(*given)
Engine.infer = held
"""
"""Run in the server's process: no network runs while the file is there."""

HELD_S = 1.5
"""From SIGTERM on: longer than the server lets new requests come, so that it has to wait for these."""

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
    orders = [GROUPS[0] + GROUPS[1], GROUPS[1] + GROUPS[0]]
    pictures = [paint(number) for number in range(len(orders[0]))]
    digests = [expected(picture) for picture in pictures]
    rounds = []
    for turn in range(times):
        wanted = [_Wanted(*each) for each in zip(orders[turn % 2], pictures, digests, strict=True)]
        with program(folder, "--workers", str(workers), *arguments, before=HOLD) as running:
            rounds.append(_once(running, wanted, folder / "hold"))
    return [
        Figure("rounds", times),
        Figure.exactly("requests in flight at SIGTERM, fewest", min(one.in_flight for one in rounds), len(pictures)),
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


def _once(running: Program, wanted: list[_Wanted], hold: Path) -> _Round:
    def one(place: int) -> str:
        """What is wrong with the answer; empty if nothing."""
        kind, name = wanted[place].kind, f"drain-{place}"
        try:
            caller = client(kind, running)
            answer = caller.ask(wanted[place].picture, name)
        except Exception as error:  # whatever it is, this request was lost
            return f"{kind}: {type(error).__name__}: {error}"
        with contextlib.suppress(Exception):
            caller.close()
        if answer.id != name:
            return f"{kind}: another id"
        return "" if answer.digest == wanted[place].digest else f"{kind}: another class map"

    with ThreadPoolExecutor(len(wanted)) as executor:
        hold.touch()
        try:
            answers = []
            for place in range(len(wanted)):
                answers.append(executor.submit(one, place))
                until(lambda: running.in_flight() + sum(answer.done() for answer in answers) >= len(answers), 30)
            in_flight = running.in_flight()
            running.process.send_signal(signal.SIGTERM)
            start = time.perf_counter()
            readiness = _readiness(running, lambda: hold.unlink(missing_ok=True))
        finally:
            hold.unlink(missing_ok=True)
        faults = [answer.result() for answer in answers if answer.result()]
        code = running.process.wait(2 * END_S)
        return _Round(in_flight, faults, *readiness, code, time.perf_counter() - start)


def _readiness(running: Program, release: Callable[[], object]) -> tuple[float, bool, int]:
    """Seconds until the server is not ready, whether it says so, and how often it is ready again until it listens no more.

    What is in flight is released after `HELD_S`.
    """
    start, off_s, again = time.perf_counter(), None, 0
    while time.perf_counter() - start < END_S:
        try:
            ready = running.ask("GET", "/v2/health/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return time.perf_counter() - start if off_s is None else off_s, off_s is not None, again
        if not ready and off_s is None:
            off_s = time.perf_counter() - start
        if time.perf_counter() - start > HELD_S:
            release()
        again += ready and off_s is not None
        time.sleep(0.01)
    return END_S if off_s is None else off_s, off_s is not None, again
