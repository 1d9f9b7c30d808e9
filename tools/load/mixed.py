"""Many clients of all protocols at once: every answer must be the one that the model alone gives."""

import threading
import time
from collections import Counter
from collections.abc import Callable

from load.clients import Asked, closed_loop
from load.pictures import Picture
from load.program import Program
from load.results import Figure

_ANSWERED = r'icnet_requests_total\{.*route="(/v1/segment|/v2/models/\{name\}/infer|/inference.*/ModelInfer)"'

CLIENTS = ("pictures", "tensors", "rpc", "rpc") * 4


def mixed(
    program: Program, picture: Callable[[int], Picture], expected: Callable[[Picture], str], *, seconds: float
) -> list[Figure]:
    """16 clients in a closed loop, each request with another picture.

    Args:
        program: the server.
        picture: by number, all different.
        expected: digest of the class map of a picture, one at a time and without the server; asked afterwards.
        seconds: how long.
    """
    stop, before = threading.Event(), program.metric(_ANSWERED)
    timer = threading.Timer(seconds, stop.set)
    timer.start()
    start = time.perf_counter()
    done = closed_loop(program, CLIENTS, picture, stop=stop)
    elapsed = time.perf_counter() - start
    timer.cancel()
    counted = int(program.metric(_ANSWERED) - before)
    return [
        *compare(done, lambda one: expected(picture(one.number))),
        Figure.exactly("answers that the server has counted", counted, len(done)),
        Figure("requests/s", len(done) / elapsed),
        *(Figure(f"requests of {kind}", count) for kind, count in sorted(Counter(one.kind for one in done).items())),
    ]


def compare(done: list[Asked], expected: Callable[[Asked], str]) -> list[Figure]:
    """How many answers are missing, belong to another request, or are wrong."""
    answered = [(one, one.answer) for one in done if one.answer is not None]
    wanted = [expected(one) for one, _ in answered]
    wrong = sum(answer.digest != digest for (_, answer), digest in zip(answered, wanted, strict=True))
    return [
        Figure("requests", len(done), "> 0", len(done) > 0),
        Figure.none("requests without an answer", [one.fault for one in done if one.answer is None]),
        Figure.exactly("with another id", sum(one.id != answer.id for one, answer in answered), 0),
        Figure.exactly("class maps that differ from the serial ones", wrong, 0),
        Figure("different class maps", len(set(wanted))),
        Figure.exactly("requests made twice", len(done) - len({(one.kind, one.id) for one in done}), 0),
    ]
