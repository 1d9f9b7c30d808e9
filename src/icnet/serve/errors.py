"""Why a request is refused, in one sentence; each knows its HTTP status and its gRPC code."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from icnet.base.errors import IcnetError

if TYPE_CHECKING:
    import grpc


class Refused(IcnetError):
    """Base of every refusal of a request.

    Attributes:
        status: of the HTTP response.
        code_name: of the gRPC status.
        reason: a word for metrics.
        retry_after_s: when it is worth another try; None where the same request would be refused again.
    """

    status: ClassVar[int] = 400
    code_name: ClassVar[str] = "INVALID_ARGUMENT"
    reason: ClassVar[str] = "bad_request"
    retry_after_s: ClassVar[int | None] = None

    @property
    def wait(self) -> dict[str, str]:
        """The header, or metadata of gRPC, that tells when to come again; nothing where that is no use."""
        return {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}

    @property
    def code(self) -> grpc.StatusCode:
        """Of the gRPC status."""
        import grpc

        return grpc.StatusCode[self.code_name]


class BadRequest(Refused):
    """The request does not say what it should."""


class Unauthorized(Refused):
    """The token is missing or wrong."""

    status, code_name, reason = 401, "UNAUTHENTICATED", "unauthorized"


class Forbidden(Refused):
    """Nobody may do this, or not from there."""

    status, code_name, reason = 403, "PERMISSION_DENIED", "forbidden"


class NotFound(Refused):
    """There is no such model, version or page."""

    status, code_name, reason = 404, "NOT_FOUND", "not_found"


class NotAcceptable(Refused):
    """No form of the result is among those that the client takes."""

    status, reason = 406, "not_acceptable"


class TooSlow(Refused):
    """The request did not arrive in time."""

    status, code_name, reason = 408, "DEADLINE_EXCEEDED", "too_slow"


class TooLarge(Refused):
    """The body, or what comes out of it, is above a limit."""

    status, reason = 413, "too_large"


class UnsupportedMedia(Refused):
    """The body is of a kind that is not read."""

    status, reason = 415, "unsupported_media"


class HeadersTooLarge(Refused):
    """The headers of a request are above a limit."""

    status = 431


class Overloaded(Refused):
    """There is no room for another request now."""

    status, code_name, reason = 503, "RESOURCE_EXHAUSTED", "overloaded"
    retry_after_s = 1


class TooManyConnections(Overloaded):
    """There is no room for another client now."""

    reason = "connections"


class Draining(Refused):
    """The server is about to end."""

    status, code_name, reason = 503, "UNAVAILABLE", "draining"
    retry_after_s = 5
