"""What is counted and timed of requests for inference, for the metrics and for Triton's statistics extension."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from icnet.serve.metrics import Metrics

if TYPE_CHECKING:
    from icnet.serve.models import Served

_COMPUTED: dict[Literal["decode", "segment", "encode"], str] = {
    "decode": "compute_input",
    "segment": "compute_infer",
    "encode": "compute_output",
}


class Statistics:
    """Of one version of a model; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts, self._ns = Counter[str](), Counter[str]()
        self._pictures = self._last_ms = 0

    def add(self, durations_ns: dict[str, int], pictures: int) -> None:
        """Note a request: the time of each part, by the extension's names, and the pictures that were segmented."""
        with self._lock:
            self._counts.update(durations_ns.keys())
            self._ns.update(durations_ns)
            self._pictures += pictures
            if pictures:
                self._last_ms = time.time_ns() // 1_000_000

    def document(self) -> dict[str, Any]:
        """What the extension tells beside name and version."""
        with self._lock:
            names = ("success", "fail", "queue", *_COMPUTED.values(), "cache_hit", "cache_miss")
            durations = {name: {"count": self._counts[name], "ns": self._ns[name]} for name in names}
            pictures, last_ms = self._pictures, self._last_ms
        ones = {name: {"count": pictures, "ns": durations[name]["ns"]} for name in _COMPUTED.values()}
        return {
            "last_inference": last_ms,
            "inference_count": pictures,
            "execution_count": pictures,  # the network sees one picture at a time
            "inference_stats": durations,
            "batch_stats": [{"batch_size": 1, **ones}] if pictures else [],
        }


class Recording:
    """One request for inference. Use it in a `with` statement, in the worker's thread.

    Attributes:
        served: whose statistics take the request; None as long as that is not known.
        pictures: how many it has.
    """

    def __init__(self, metrics: Metrics, arrived_ns: int) -> None:
        """Begin; `arrived_ns` is the time of `time.perf_counter_ns` at which the request came."""
        self.served: Served | None = None
        self.pictures = 0
        self._metrics, self._arrived_ns = metrics, arrived_ns
        self._ns = {"queue": time.perf_counter_ns() - arrived_ns}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Note the request."""
        if self.served is not None:
            total_ns = time.perf_counter_ns() - self._arrived_ns
            if kind is None:
                self.served.statistics.add(self._ns | {"success": total_ns}, self.pictures)
            else:
                self.served.statistics.add({"fail": total_ns}, 0)

    @contextmanager
    def stage(self, name: Literal["decode", "segment", "encode"]) -> Iterator[None]:
        """Time a block."""
        begun = time.perf_counter_ns()
        with self._metrics.stage(name):
            yield
        self._ns[_COMPUTED[name]] = time.perf_counter_ns() - begun
