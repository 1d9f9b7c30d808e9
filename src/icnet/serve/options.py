"""How a server runs; the defaults of `icnet serve`."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from icnet.base.errors import UsageError, check_counts
from icnet.network.spec import DEFAULT_MODEL
from icnet.serve.limits import Limits
from icnet.serve.security import is_loopback

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")


@dataclass(frozen=True)
class ServerOptions:
    """How a server runs."""

    models: tuple[str, ...] = (DEFAULT_MODEL,)
    """Published names or paths; the first is the default."""
    host: str = "127.0.0.1"
    """Address or name to listen on."""
    port: int = 8000
    """For HTTP; 0 chooses a free one."""
    grpc_port: int | None = 8001
    """For gRPC; 0 chooses a free one, None leaves gRPC out."""
    token: str | None = None
    """What clients must show; may be missing only on a loopback address."""
    hosts: tuple[str, ...] = ()
    """More names under which a server without a token may be addressed."""
    origins: tuple[str, ...] = ()
    """Of pages elsewhere that may use the server, such as https://example.org; * stands for all."""
    tls: tuple[Path, Path] | None = None
    """Certificate chain and private key, PEM."""
    workers: int = 3
    """Requests worked on side by side: while the network has one, the pictures before and after it are decoded and encoded."""
    threads: int | None = None
    """CPU threads of a network; all cores if not given."""
    drain_seconds: float = 25
    """The end waits so long for what is in flight."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.token and not is_loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached from other machines: give clients a token with --token-file, or listen on 127.0.0.1"
            )
        for origin in self.origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise UsageError(
                    f"{origin} is no origin: give scheme, name and port alone, such as https://example.org:8443, or *"
                )
        if self.drain_seconds < 1:
            raise UsageError(f"the end must wait 1 s or more for what is in flight, not {self.drain_seconds} s")
        check_counts(self, "workers")
