"""A whole server for tests: in a thread of this process, or as the command that users run."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from icnet.serve.limits import Limits
from icnet.serve.metrics import Metrics
from icnet.serve.models import Models
from icnet.serve.options import ServerOptions
from icnet.serve.pool import Pool
from icnet.serve.service import Service


def service(model: str | Path, *, limits: Limits | None = None, workers: int = 2, **others: Any) -> Service:
    """A service without a server."""
    from icnet.runtime.engine import EngineOptions

    metrics, limits = Metrics(), limits or Limits()
    models = Models([str(model)], EngineOptions(threads=1, streams=2), metrics)
    return Service(models, Pool(workers, limits.queue, metrics), limits, metrics, **others)


@contextmanager
def serving(model: str | Path, **options: Any) -> Iterator[Any]:
    """Serve in a thread; gives `Addresses`."""
    from icnet.serve.server import run

    came, ends, results = threading.Event(), [], []

    def work() -> None:
        async def main() -> bool:
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            ends.append(lambda: loop.is_closed() or loop.call_soon_threadsafe(stop.set))
            return await run(
                replace(ServerOptions(models=(str(model),), port=0, grpc_port=0), **options), started=began, stop=stop
            )

        def began(addresses: Any) -> None:
            results.append(addresses)
            came.set()

        try:
            asyncio.run(main())
        except BaseException as error:
            results.append(error)
        finally:
            came.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert came.wait(60)
    try:
        assert results
        if isinstance(results[0], BaseException):
            raise results[0]
        yield results[0]
    finally:
        for end in ends:
            end()
        thread.join(60)
        assert not thread.is_alive()


@dataclass
class Program:
    """A running `icnet serve`."""

    process: subprocess.Popen[str]
    http: str
    grpc: str | None
    log: Path

    def events(self) -> list[dict[str, Any]]:
        """What it has logged; every line must be JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def end(self, number: int = signal.SIGTERM, seconds: float = 40) -> int:
        """Send a signal and give the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def program(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Program]:
    """Start `icnet serve` on free ports; its log lies in `folder`. It is killed at the end if it still runs."""
    log = folder / "serve.log"
    command = [sys.executable, "-m", "icnet", "serve", "--port", "0", "--grpc-port", "0", *arguments]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | (environment or {}), cwd=folder
        )
    try:
        assert process.stdout is not None
        addresses = {}
        for line in process.stdout:
            kind, _, address = line.rpartition(" ")
            addresses[kind.strip()] = address.strip()
            if kind.strip() == "gRPC" or "--no-grpc" in arguments:
                break
        assert addresses, log.read_text()
        yield Program(process, addresses["page and HTTP"], addresses.get("gRPC"), log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
