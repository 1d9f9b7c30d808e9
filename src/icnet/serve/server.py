"""One process that listens, answers, reloads and ends in order."""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import uvicorn

from icnet.base.errors import ModelError, UsageError
from icnet.pictures.reading import start_decoders
from icnet.runtime.engine import EngineOptions
from icnet.serve.app import build_app
from icnet.serve.http.connection import protocol
from icnet.serve.inference.servicer import grpc_server
from icnet.serve.logs import event
from icnet.serve.metrics import Metrics
from icnet.serve.models import Models
from icnet.serve.options import ServerOptions
from icnet.serve.pool import Pool
from icnet.serve.security import is_loopback
from icnet.serve.service import Service

_GOODBYE_SECONDS = 0.5
"""Requests that are on their way when the end is announced still get an answer, if only a refusal."""

_BACKLOG = 128
"""Connections that the system holds until they are accepted."""

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Addresses:
    """Where a server listens."""

    http: str
    """URL."""
    grpc: str | None
    """`host:port`."""


class _Http(uvicorn.Server):
    """Uvicorn without its own handling of signals, which knows nothing of gRPC or of readiness."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(options: ServerOptions, *, started: Callable[[Addresses], None]) -> bool:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads the models.

    Args:
        options: everything.
        started: called once it listens.

    Returns:
        Whether everything in flight was answered.

    Raises:
        UsageError: the address cannot be listened on, or the certificate cannot be used.
        ModelError: a model cannot be loaded.
    """

    async def until_signal() -> bool:
        stop = asyncio.Event()
        with _signals(stop) as reloads:
            return await run(options, started=started, stop=stop, reloads=reloads)

    _raise_open_files()
    return asyncio.run(until_signal())


def _raise_open_files() -> None:
    """Allow as many connections as the system does: some systems begin with 1,024 files for old programs' sake."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def run(
    options: ServerOptions, *, started: Callable[[Addresses], None], stop: asyncio.Event, reloads: asyncio.Event | None = None
) -> bool:
    """Serve until `stop` is set; the models are reloaded whenever `reloads` is. The rest is as `serve` has it."""
    with contextlib.closing(_listener(options.host, options.port)) as listener:
        service = _service(options)
        http = _Http(_config(service, options))
        rpc, grpc_address = None, None
        if options.grpc_port is not None:
            rpc, grpc_address = await _start_grpc(service, options)
        running = asyncio.create_task(http.serve(sockets=[listener]))
        others: list[asyncio.Task[Any]] = [asyncio.create_task(stop.wait())]
        if reloads is not None:
            others.append(asyncio.create_task(_reload(service, reloads)))
        while not http.started and not running.done():
            await asyncio.sleep(0.01)
        if running.done():  # uvicorn could not begin
            if rpc is not None:
                await rpc.stop(None)
            raise UsageError(
                f"cannot listen on {_joined(options.host, options.port)}: choose another --port"
            ) from running.exception()
        scheme = "http" if options.tls is None else "https"
        addresses = Addresses(f"{scheme}://{_joined(options.host, listener.getsockname()[1])}", grpc_address)
        versions = {served.name: served.version for served in service.models}
        event("started", http=addresses.http, grpc=grpc_address, models=versions)
        if options.token and options.tls is None and not is_loopback(options.host):
            event("token_in_the_clear", logging.WARNING, advice="anybody on the way can read it: use --tls-cert and --tls-key")
        started(addresses)
        await asyncio.wait([running, others[0]], return_when=asyncio.FIRST_COMPLETED)
        complete = await _drain(service, http, running, rpc, options.drain_seconds)
        for other in others:
            other.cancel()
        return complete


async def _drain(
    service: Service, http: uvicorn.Server, running: asyncio.Task[None], rpc: grpc.aio.Server | None, seconds: float
) -> bool:
    """Turn readiness off, answer what is in flight, and end; meanwhile health is told and new work refused over HTTP."""
    service.draining = True
    event("draining")
    await asyncio.sleep(_GOODBYE_SECONDS)
    end = time.monotonic() + seconds
    ends: list[asyncio.Future[None]] = [running]
    if rpc is not None:
        ends.append(asyncio.ensure_future(rpc.stop(seconds)))
    if begun := set(http.server_state.tasks):  # what comes from now on is refused and need not be waited for
        await asyncio.wait(begun, timeout=seconds)
    http.should_exit = True
    _, late = await asyncio.wait(ends, timeout=max(0, end - time.monotonic()) + _GOODBYE_SECONDS)
    complete = not late and time.monotonic() < end  # gRPC cuts its calls itself
    if not complete:
        event("cut", logging.ERROR, seconds=seconds)
    if late:
        http.force_exit = True
        await asyncio.wait(late, timeout=2)
    service.pool.close()
    event("ended", complete=complete)
    return complete


def _service(options: ServerOptions) -> Service:
    start_decoders(options.workers)
    metrics = Metrics()
    models = Models(options.models, EngineOptions(cache=True, streams=2), metrics)
    pool = Pool(options.workers, options.limits.queue, metrics)
    # With a token a page of another origin gains nothing by pointing its own name at this server.
    hosts = None if options.token else _LOOPBACK_NAMES | {name.strip("[]").lower() for name in (options.host, *options.hosts)}
    return Service(models, pool, options.limits, metrics, token=options.token, hosts=hosts)


def _config(service: Service, options: ServerOptions) -> uvicorn.Config:
    limits = options.limits
    context = None if options.tls is None else _context(*options.tls)
    return uvicorn.Config(
        build_app(service),
        http=protocol(service, context),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=round(limits.idle_seconds),
        h11_max_incomplete_event_size=limits.header_bytes,
    )


async def _start_grpc(service: Service, options: ServerOptions) -> tuple[grpc.aio.Server, str]:
    address = _joined(options.host, options.grpc_port or 0)
    credentials = None
    if options.tls is not None:
        certificate, key = (path.read_bytes() for path in options.tls)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
    try:
        rpc, port = grpc_server(service, address, credentials=credentials)
    except (RuntimeError, OSError) as error:
        raise UsageError(f"cannot listen on {address} for gRPC: choose another --grpc-port, or --no-grpc") from error
    await rpc.start()
    return rpc, _joined(options.host, port)


def _listener(host: str, port: int) -> socket.socket:
    """A bound socket: whether the port is free must be known before a model is loaded."""
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, number, _, address = found[0]
        listener = socket.socket(family, kind, number)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)  # only now is the port ours alone
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise UsageError(
            f"cannot listen on {_joined(host, port)}: {error.strerror or error}; choose another --host or --port"
        ) from error
    return listener


def _no_password() -> str:
    raise UsageError("the private key is encrypted: decrypt it first, as in `openssl pkey -in key.pem -out plain.pem`")


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{certificate} and {key} are no certificate and its key in PEM form ({error}): check both") from error
    return context


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[asyncio.Event]:
    """Within the block SIGTERM and SIGINT set `stop`, a second one is taken as by any program; SIGHUP sets what is yielded."""
    loop, reloads = asyncio.get_running_loop(), asyncio.Event()

    def end(number: int, frame: object) -> None:
        for other in ends:
            signal.signal(other, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop.set)

    ends = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in ends}
    if hasattr(signal, "SIGHUP"):  # not on Windows
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(reloads.set))
    try:
        yield reloads
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _reload(service: Service, wanted: asyncio.Event) -> None:
    """Reload all models each time that `wanted` is set; one that fails goes on as it was."""
    while await wanted.wait():
        wanted.clear()
        for served in service.models:
            try:
                await asyncio.to_thread(service.models.reload, served.name)
            except ModelError:  # which is in the log
                pass
            except Exception as error:  # nothing may keep later reloads from working
                event("not_reloaded", logging.ERROR, model=served.name, trace=error)


def _joined(host: str, port: int) -> str:
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
