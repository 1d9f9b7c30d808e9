"""A whole server for tests, in a thread of this process; `bars.program` runs it as users do."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
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
