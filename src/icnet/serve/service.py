"""What the HTTP and the gRPC side share."""

from dataclasses import dataclass, field

from icnet.serve.budget import Budget
from icnet.serve.errors import Draining
from icnet.serve.limits import Limits
from icnet.serve.metrics import Metrics
from icnet.serve.models import Models
from icnet.serve.pool import Pool


@dataclass
class Service:
    """One server's state."""

    models: Models
    pool: Pool
    limits: Limits
    metrics: Metrics
    token: str | None = None
    """What clients must show; None lets everybody in."""
    hosts: frozenset[str] | None = None
    """Names under which the server may be addressed over HTTP, lower case, without ports; None allows all."""
    origins: frozenset[str] = frozenset()
    """Origins of pages elsewhere that may use the server; * stands for all."""
    draining: bool = False
    """The server is about to end: what is in flight is answered, nothing new begun."""
    budget: Budget = field(init=False)
    """Of the bodies being held."""
    responses: Budget = field(init=False)
    """Of large responses that clients have not taken yet; apart, so that slow readers leave room for requests."""

    def __post_init__(self) -> None:
        self.budget = Budget(self.limits.buffered_bytes, self.metrics.buffered, of="the requests being received")
        self.responses = Budget(self.limits.buffered_bytes, self.metrics.answering, of="the answers being sent")

    @property
    def ready(self) -> bool:
        """Whether new work is taken."""
        return not self.draining

    def check(self) -> None:
        """Refuse new work early, before its body is read.

        Raises:
            Draining, Overloaded: not now.
        """
        if self.draining:
            raise Draining("the server is about to end: try another, or again in a few seconds")
        self.pool.check()
