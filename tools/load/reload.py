"""New weights while clients are served: every answer belongs to one version as a whole, and none fails."""

import os
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

from icnet.network.weights import Weights, load_weights, save_weights
from icnet.runtime.engine import EngineOptions
from icnet.runtime.segmenter import Segmenter
from load.clients import Asked, closed_loop
from load.mixed import compare
from load.pictures import Picture, reference
from load.program import Program, until
from load.results import Figure

CLIENTS = ("pictures", "tensors", "rpc", "rpc") * 2
CORRUPT_EVERY = 7
RELOAD_S = 60.0


class Versions:
    """Two versions of a model, and what each makes of some pictures."""

    def __init__(self, folder: Path, weights: Weights, pictures: list[Picture]) -> None:
        """Write both as files, and run them.

        Args:
            folder: for the files.
            weights: the first version; the second differs in the classifier.
            pictures: all that clients will send.
        """
        kernel = "classifier/kernel"
        changed = weights.tensors | {kernel: np.ascontiguousarray(np.roll(weights.tensors[kernel], 1, axis=-1))}
        self.model = folder / "model.safetensors"
        self._files = [folder / "first.safetensors", folder / "second.safetensors"]
        self.expected: dict[str, list[str]] = {}
        for file, one in zip(self._files, (weights, Weights(weights.spec, changed, weights.about)), strict=True):
            save_weights(file, one)
            segmenter = Segmenter(file, EngineOptions(streams=2))
            self.expected[segmenter.engine.sha256[:12]] = [reference(segmenter, picture) for picture in pictures]
        self.put(0)

    def put(self, which: int) -> str:
        """Make a version the model's file, in one step, and give its name."""
        copy = self.model.with_suffix(".new")
        shutil.copyfile(self._files[which % 2], copy)
        os.replace(copy, self.model)
        return list(self.expected)[which % 2]

    def spoil(self) -> None:
        """Make the model's file one that cannot be loaded."""
        copy = self.model.with_suffix(".new")
        copy.write_bytes(self._files[0].read_bytes()[:-1000])
        os.replace(copy, self.model)


def versions(folder: Path, model: Path, pictures: list[Picture]) -> Versions:
    """Two versions made from a weight file."""
    return Versions(folder, load_weights(model), pictures)


def reload(program: Program, both: Versions, pictures: list[Picture], *, times: int) -> list[Figure]:
    """Change the weights under the clients.

    Args:
        program: the server of `both.model`.
        both: its versions.
        pictures: those that `both` has seen.
        times: how often, by SIGHUP and by request in turns; now and then a corrupt file comes between.
    """
    stop, results = threading.Event(), []
    clients = threading.Thread(
        target=lambda: results.extend(closed_loop(program, CLIENTS, lambda number: pictures[number % len(pictures)], stop=stop))
    )
    clients.start()
    name = program.model()["name"]
    seconds, faults = [], []
    try:
        for turn in range(1, times + 1):
            if turn % CORRUPT_EVERY == 3:
                faults += _corrupt(program, both, name, by_signal=turn % 2 == 0)
            start, version = time.perf_counter(), both.put(turn)
            if turn % 2:
                program.process.send_signal(signal.SIGHUP)
            else:
                status, body = program.ask("POST", f"/v2/repository/models/{name}/load", b"{}", content_type="application/json")
                faults += [] if status == 200 else [f"a reload by request gave {status}: {body[:200]!r}"]
            if until(lambda: program.model(name)["versions"] == [version], RELOAD_S, every=0.05) is None:  # noqa: B023
                faults.append(f"no new version within {RELOAD_S:g} s")
            seconds.append(time.perf_counter() - start)
            time.sleep(0.3)  # some requests for this version
    finally:
        stop.set()
        clients.join()
    return _figures(results, both, seconds, faults, len(pictures))


def _corrupt(program: Program, both: Versions, name: str, *, by_signal: bool) -> list[str]:
    """What is wrong with how a corrupt file is taken."""
    before, told = program.model(name)["versions"], len(program.events("not_reloaded"))
    both.spoil()
    if by_signal:
        program.process.send_signal(signal.SIGHUP)
        reported = until(lambda: len(program.events("not_reloaded")) > told, RELOAD_S, every=0.05) is not None
    else:
        status, body = program.ask("POST", f"/v2/repository/models/{name}/load", b"{}", content_type="application/json")
        reported = 400 <= status < 500 and b"error" in body
    faults = [] if reported else [f"a corrupt file was not reported (by {'signal' if by_signal else 'request'})"]
    return faults if program.model(name)["versions"] == before else [*faults, "a corrupt file replaced the model"]


def _figures(results: list[Asked], both: Versions, seconds: list[float], faults: list[str], count: int) -> list[Figure]:
    def expected(one: Asked) -> str:
        assert one.answer is not None
        return both.expected.get(one.answer.version, ["no such version"] * count)[one.number % count]

    first, second = both.expected.values()
    seen = Counter(one.answer.version for one in results if one.answer is not None)
    return [
        *compare(results, expected),
        Figure.exactly(
            "pictures of which both versions make the same", sum(a == b for a, b in zip(first, second, strict=True)), 0
        ),
        Figure.exactly("versions seen", sorted(seen), sorted(both.expected)),
        Figure("reloads", len(seconds)),
        Figure("seconds until the new version serves, longest", max(seconds)),
        Figure.none("faults of reloads", faults),
    ]
