"""How much the server takes; every default stands here and every one has an option of `icnet serve`."""

from dataclasses import dataclass

from icnet.base.errors import UsageError

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What is refused above, per request unless said otherwise."""

    body_bytes: int = 16 * MIB
    """Of a body or gRPC message as it is sent."""
    decompressed_bytes: int = 32 * MIB
    """Of a body that was sent with gzip or deflate."""
    buffered_bytes: int = 128 * MIB
    """Of all bodies that are held at one time; large responses that are being sent may take as much again."""
    pixels: int = 16_000_000
    """Of a picture, known from its header."""
    json_depth: int = 16
    """Arrays and objects within each other."""
    header_bytes: int = 32 * 1024
    """Of the request line and headers."""
    header_seconds: float = 10
    """Until the headers are complete, from the connection or the first byte of the request on."""
    body_seconds: float = 20
    """Until the body is complete, from the headers on."""
    idle_seconds: float = 60
    """Between two requests of a connection."""
    connections: int = 256
    """Open over HTTP at one time, and calls in progress over gRPC, health aside; each of these may have a body on its way."""
    queue: int = 16
    """Requests that wait, beside those being worked on; more are refused at once."""
    batch: int = 16
    """Pictures of a tensor."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            least = 0 if name == "queue" else 1e-3
            if not getattr(self, name) >= least:
                raise UsageError(f"the limit {name} must be {'0 or more' if name == 'queue' else 'above 0'}")
        if self.buffered_bytes < max(self.body_bytes, self.decompressed_bytes):
            raise UsageError("--max-buffered-mib must hold the largest body, as it is sent and unpacked: raise it or lower these")
