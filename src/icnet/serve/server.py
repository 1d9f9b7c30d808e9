"""One process that listens, answers, reloads and ends in order."""

import asyncio
import contextlib
import ctypes
import faulthandler
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc

from icnet.base.errors import ModelError, UsageError
from icnet.pictures.reading import start_decoders
from icnet.runtime.engine import EngineOptions
from icnet.serve.app import build_app
from icnet.serve.http.listener import Listener
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

_LAST_SECONDS = 2.0
"""After the time for what is in flight: then the process ends, whatever its threads do."""

_OTHER_FILES = 128
"""Descriptors that are no clients': the log, models, gRPC, what libraries open."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt in glibc

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Addresses:
    """Where a server listens."""

    http: str
    """URL."""
    grpc: str | None
    """`host:port`."""


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
        with _signals(stop, options.drain_seconds + _LAST_SECONDS) as reloads:
            return await run(options, started=started, stop=stop, reloads=reloads)

    options = _within(options, _open_files())
    _give_memory_back()
    return asyncio.run(until_signal())


def _give_memory_back() -> None:
    """Let blocks of many MiB, such as bodies, go back to the system when they are free; glibc keeps them, left to itself."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_MMAP_THRESHOLD, 8 << 20), (_TRIM_THRESHOLD, 32 << 20)):
            mallopt(parameter, value)


def _open_files() -> int | None:
    """How many files may be open: as many as the system allows, since some begin with few for old programs' sake."""
    if sys.platform == "win32":
        return None
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if most == resource.RLIM_INFINITY else most


def _within(options: ServerOptions, files: int | None) -> ServerOptions:
    """Fewer connections where files are few: HTTP and gRPC may have as many each, and as many again to say that it is full."""
    limits = options.limits
    if files is None or limits.connections <= (most := max(1, (files - _OTHER_FILES) // 4)):
        return options
    event(
        "fewer_connections",
        logging.WARNING,
        connections=most,
        open_files=files,
        advice="raise the limit of open files (ulimit -n)",
    )
    return replace(options, limits=replace(limits, connections=most))


async def run(
    options: ServerOptions, *, started: Callable[[Addresses], None], stop: asyncio.Event, reloads: asyncio.Event | None = None
) -> bool:
    """Serve until `stop` is set; the models are reloaded whenever `reloads` is. The rest is as `serve` has it."""
    with contextlib.closing(_listener(options.host, options.port)) as listener:
        service = _service(options)
        tls = None if options.tls is None else _context(*options.tls)
        http = Listener(build_app(service), service, tls)
        rpc, grpc_address = None, None
        if options.grpc_port is not None:
            rpc, grpc_address = await _start_grpc(service, options)
        http.listen(listener)
        reloading = None if reloads is None else asyncio.create_task(_reload(service, reloads))
        scheme = "http" if tls is None else "https"
        addresses = Addresses(f"{scheme}://{_joined(options.host, listener.getsockname()[1])}", grpc_address)
        versions = {served.name: served.version for served in service.models}
        event("started", http=addresses.http, grpc=grpc_address, models=versions)
        if options.token and tls is None and not is_loopback(options.host):
            event("token_in_the_clear", logging.WARNING, advice="anybody on the way can read it: use --tls-cert and --tls-key")
        started(addresses)
        await stop.wait()
        complete = await _drain(service, http, rpc, options.drain_seconds)
        if reloading is not None:
            reloading.cancel()
        return complete


async def _drain(service: Service, http: Listener, rpc: grpc.aio.Server | None, seconds: float) -> bool:
    """Turn readiness off, answer what is in flight, and end; meanwhile health is told and new work refused over HTTP."""
    end = time.monotonic() + seconds
    service.draining = True
    event("draining")
    await asyncio.sleep(_GOODBYE_SECONDS)
    ending = None if rpc is None else asyncio.create_task(rpc.stop(end - time.monotonic()))
    await http.answered(end - time.monotonic())  # what comes from now on is refused and need not be waited for
    complete = await http.close(end - time.monotonic())
    if ending is not None:
        await ending
    complete = complete and time.monotonic() < end  # gRPC cuts its calls itself
    if not complete:
        event("cut", logging.ERROR, seconds=seconds)
    service.pool.close()
    event("ended", complete=complete)
    return complete


def _service(options: ServerOptions) -> Service:
    metrics = Metrics()
    pool = Pool(options.workers, options.limits.queue, metrics)
    start_decoders(pool.preparations)
    models = Models(options.models, EngineOptions(threads=options.threads, cache=True, streams=2), metrics)
    # With a token a page of another origin gains nothing by pointing its own name at this server.
    hosts = None if options.token else _LOOPBACK_NAMES | {name.strip("[]").lower() for name in (options.host, *options.hosts)}
    return Service(models, pool, options.limits, metrics, token=options.token, hosts=hosts, origins=frozenset(options.origins))


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
def _signals(stop: asyncio.Event, last_seconds: float) -> Iterator[asyncio.Event]:
    """Within the block SIGTERM and SIGINT set `stop`, a second one is taken as by any program; SIGHUP sets what is yielded.

    So many seconds later the process ends, with code 1.
    """
    loop, reloads = asyncio.get_running_loop(), asyncio.Event()
    silent = open(os.devnull, "w")  # noqa: SIM115 - needed after the block

    def end(number: int, frame: object) -> None:
        faulthandler.dump_traceback_later(last_seconds, exit=True, file=silent)  # it waits for no thread
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
