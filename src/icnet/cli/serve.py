"""`icnet serve`: the model as a service, and a page."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icnet.cli.terminal import finite
from icnet.serve.limits import Limits
from icnet.serve.options import ServerOptions

if TYPE_CHECKING:
    from icnet.serve.server import Addresses

_MIB = 1 << 20
_KIB = 1 << 10

_TOKEN = "ICNET_TOKEN"

_DEFAULT = ServerOptions()
_LIMITS = Limits()


def serve(
    model: Annotated[
        list[str],
        typer.Option(
            metavar="NAME|PATH", help="A published model, a .safetensors or .xml file, or hf://USER/NAME; may be repeated."
        ),
    ] = list(_DEFAULT.models),  # noqa: B006 - Typer wants a list and does not change it
    host: Annotated[str, typer.Option(help="Address to listen on; one that other machines reach needs a token.")] = _DEFAULT.host,
    port: Annotated[int, typer.Option(min=0, max=65535, help="For HTTP and the page; 0 takes a free one.")] = _DEFAULT.port,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="For gRPC; 0 takes a free one.")] = _DEFAULT.grpc_port or 0,
    no_grpc: Annotated[bool, typer.Option("--no-grpc", help="Do not listen for gRPC.")] = False,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help=f"Holds the token that clients must show; or set {_TOKEN}.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name under which a server without a token is addressed; may be repeated."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="A page there, such as https://example.org, may use the server; may be repeated."),
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate chain (PEM) for TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key (PEM).")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Requests worked on side by side.")] = _DEFAULT.workers,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of a network; all cores if not given.")] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(
            min=1, callback=finite, help="When ending, wait at most so long for requests in flight, and end 2 s later at most."
        ),
    ] = _DEFAULT.drain_seconds,
    max_queue: Annotated[
        int, typer.Option(min=0, help="Requests that wait for a worker; others get 503 at once.")
    ] = _LIMITS.queue,
    max_body_mib: Annotated[
        float, typer.Option(min=0.001, callback=finite, help="Largest body of a request as it is sent.")
    ] = _LIMITS.body_bytes / _MIB,
    max_decompressed_mib: Annotated[
        float, typer.Option(min=0.001, callback=finite, help="Largest compressed body once it is unpacked.")
    ] = _LIMITS.decompressed_bytes / _MIB,
    max_buffered_mib: Annotated[
        float,
        typer.Option(min=0.001, callback=finite, help="Largest sum of bodies held at one time, and of large answers."),
    ] = _LIMITS.buffered_bytes / _MIB,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, callback=finite, help="Pictures with more are refused unread.")
    ] = _LIMITS.pixels / 1e6,
    max_batch: Annotated[int, typer.Option(min=1, help="Most pictures in one tensor.")] = _LIMITS.batch,
    max_json_depth: Annotated[int, typer.Option(min=1, help="Deepest nesting of JSON.")] = _LIMITS.json_depth,
    max_header_kib: Annotated[
        float, typer.Option(min=1, callback=finite, help="Largest headers of a request.")
    ] = _LIMITS.header_bytes / _KIB,
    header_seconds: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="Time for the headers of a request to arrive.")
    ] = _LIMITS.header_seconds,
    body_seconds: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="Time for the rest of a request to arrive.")
    ] = _LIMITS.body_seconds,
    idle_seconds: Annotated[
        float, typer.Option(min=1, callback=finite, help="A connection without a request is closed after that.")
    ] = _LIMITS.idle_seconds,
    max_connections: Annotated[
        int,
        typer.Option(
            min=1,
            help="Connections (fewer if few files may be open), and gRPC calls; more get 503 / RESOURCE_EXHAUSTED.",
        ),
    ] = _LIMITS.connections,
) -> None:
    """Serve the model over HTTP and gRPC (Open Inference Protocol), pictures in and pictures out, and a page to try it.

    Logs go to stderr, a JSON object per line. SIGTERM and Ctrl-C answer what is in flight and end; SIGHUP reads the model files
    again while the server goes on. Token and certificate are read once, at the start.
    """
    from icnet.base.errors import UsageError

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it says on stderr what our own line says
    try:
        from icnet.serve.logs import set_up
        from icnet.serve.server import serve as run
    except ImportError as error:
        raise UsageError(
            f"icnet serve needs more packages ({error.name} is missing): pip install 'icnet[serve]', or '.[serve]' in its folder"
        ) from error

    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together: give both or none")
    limits = Limits(
        body_bytes=round(max_body_mib * _MIB),
        decompressed_bytes=round(max_decompressed_mib * _MIB),
        buffered_bytes=round(max_buffered_mib * _MIB),
        pixels=round(max_megapixels * 1e6),
        batch=max_batch,
        json_depth=max_json_depth,
        header_bytes=round(max_header_kib * _KIB),
        header_seconds=header_seconds,
        body_seconds=body_seconds,
        idle_seconds=idle_seconds,
        connections=max_connections,
        queue=max_queue,
    )
    options = ServerOptions(
        models=tuple(model),
        host=host,
        port=port,
        grpc_port=None if no_grpc else grpc_port,
        token=_token(token_file),
        hosts=tuple(allow_host or ()),
        origins=tuple(allow_origin or ()),
        tls=(tls_cert, tls_key) if tls_cert and tls_key else None,
        workers=workers,
        threads=threads,
        drain_seconds=drain_seconds,
        limits=limits,
    )
    set_up(os.fdopen(os.dup(2), "w", buffering=1))  # libraries that decode pictures have descriptor 2 silenced now and then
    if not run(options, started=_tell):
        raise typer.Exit(1)


def _tell(addresses: Addresses) -> None:
    for kind, address in (("page and HTTP", addresses.http), ("gRPC", addresses.grpc)):
        if address is not None:
            typer.echo(f"{kind:<14} {address}")
    sys.stdout.flush()


def _token(path: Path | None) -> str | None:
    """The token of a file or of the environment."""
    from icnet.base.errors import UsageError

    if path is None:
        token, where = os.environ.get(_TOKEN, "").strip(), f"${_TOKEN}"
        if not token:
            return None
    else:
        where = str(path)
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the token in {path}: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    if not token or not all("!" <= sign <= "~" for sign in token):
        raise UsageError(f"{where} must hold a token on one line, printable ASCII without spaces")
    return token
