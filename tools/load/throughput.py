"""Pictures per second over HTTP against the model's own rate on the same cores."""

import asyncio
import statistics
import time

import numpy as np

from icnet.runtime.engine import EngineOptions
from icnet.runtime.segmenter import Segmenter
from load.pictures import Picture, classes_of, digest
from load.program import Program
from load.results import Figure
from load.wire import closed, picture_request

SHARE = 0.7
"""Of the in-process rate that must be left over HTTP."""


def throughput(
    program: Program, model: str, pictures: list[Picture], *, seconds: float, rounds: int, clients: int = 4
) -> list[Figure]:
    """Measure in turns: calls, a stream, HTTP, and so on.

    Args:
        program: the server, otherwise idle.
        model: that it serves.
        pictures: JPEGs for the server, frames for the model in this process.
        seconds: of each measurement.
        clients: over HTTP.
        rounds: how often.
    """
    frames = [picture.frame for picture in pictures]
    one, two = Segmenter(model, EngineOptions(cache=True)), Segmenter(model, EngineOptions(cache=True, streams=2))
    expected = [digest(one(frame).classes) for frame in frames]
    requests = [picture_request(program.address, picture.jpeg) for picture in pictures]
    asyncio.run(closed(program.address, requests, clients=clients, seconds=min(2, seconds)))
    calls, streams, served, wrong = [], [], [], 0
    for _ in range(rounds):
        calls.append(_calls(one, frames, seconds))
        streams.append(_stream(two, frames, seconds))
        replies, elapsed = asyncio.run(closed(program.address, requests, clients=clients, seconds=seconds))
        good = [(place, reply.body) for place, reply in replies if reply.status == 200]
        served.append(len(good) / elapsed)
        wrong += len(replies) - len(good)
        wrong += sum(digest(classes_of(body)) != expected[place] for place, body in set(good))
    shares = [http / max(call, stream) for http, call, stream in zip(served, calls, streams, strict=True)]
    return [
        Figure("calls in process, pictures/s, median", statistics.median(calls)),
        Figure("stream in process, pictures/s, median", statistics.median(streams)),
        Figure("HTTP, pictures/s, median", statistics.median(served)),
        Figure.at_least("HTTP as a share of the faster in process, median", statistics.median(shares), SHARE, speed=True),
        Figure.at_least("the same, worst round", min(shares), SHARE, speed=True),
        Figure.exactly("wrong or refused answers", wrong, 0),
    ]


def _calls(segmenter: Segmenter, frames: list[np.ndarray], seconds: float) -> float:
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        segmenter(frames[count % len(frames)])
        count += 1
    return count / (time.perf_counter() - start)


def _stream(segmenter: Segmenter, frames: list[np.ndarray], seconds: float) -> float:
    start, count = time.perf_counter(), 0

    def items():
        number = 0
        while time.perf_counter() - start < seconds:
            yield number % len(frames)
            number += 1

    for _ in segmenter.stream(items(), frames.__getitem__):
        count += 1
    return count / (time.perf_counter() - start)
