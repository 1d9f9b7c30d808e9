"""Counters and histograms for Prometheus."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Stage = Literal["read", "queue", "decode", "segment", "encode"]
"""Receiving the body, waiting for a worker, bytes to pixels, the network, and the result's bytes."""

Protocol = Literal["http", "grpc"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """What one server counts; each has a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter("icnet_requests_total", "Requests answered.", ["protocol", "route", "status"], registry=registry)
        self._request_seconds = Histogram(
            "icnet_request_seconds", "From the headers to the end of the answer.", ["protocol", "route"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._stage_seconds = Histogram(
            "icnet_stage_seconds", "Time of a stage of a request.", ["stage"], buckets=_SECONDS, registry=registry
        )
        self._rejections = Counter("icnet_rejections_total", "Requests refused.", ["protocol", "reason"], registry=registry)
        self._reloads = Counter("icnet_model_reloads_total", "Attempts to reload.", ["model", "result"], registry=registry)
        self._models = Gauge("icnet_model_info", "1 for each version that is served.", ["model", "version"], registry=registry)
        self.queue = Gauge("icnet_queue_length", "Requests that wait for a worker.", registry=registry)
        self.busy = Gauge("icnet_workers_busy", "Requests being worked on.", registry=registry)
        self.connections = Gauge("icnet_connections", "Open HTTP connections.", registry=registry)
        self.buffered = Gauge("icnet_buffered_bytes", "Bytes of bodies held.", registry=registry)
        self.answering = Gauge("icnet_answering_bytes", "Bytes of large answers being sent.", registry=registry)

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Time a block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.observe(name, time.perf_counter() - start)

    def observe(self, name: Stage, seconds: float) -> None:
        """Note what a stage took."""
        self._stage_seconds.labels(name).observe(seconds)

    def answered(self, protocol: Protocol, route: str, status: str, seconds: float) -> None:
        """Note a response; `route` is a pattern, never what a client made up."""
        self._requests.labels(protocol, route, status).inc()
        self._request_seconds.labels(protocol, route).observe(seconds)

    def rejected(self, protocol: Protocol, reason: str) -> None:
        """Note a refusal."""
        self._rejections.labels(protocol, reason).inc()

    def loaded(self, model: str, version: str, before: str | None) -> None:
        """Note that a version is served now instead of the one before."""
        if before is not None:
            self._reloads.labels(model, "done").inc()
            if before != version:
                self._models.remove(model, before)
        self._models.labels(model, version).set(1)

    def not_loaded(self, model: str) -> None:
        """Note a failed reload."""
        self._reloads.labels(model, "failed").inc()

    def page(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self.registry)
