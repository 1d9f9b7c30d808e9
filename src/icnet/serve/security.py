"""Who may use the server."""

import base64
import binascii
import hmac
import ipaddress

from icnet.serve.errors import Unauthorized

SCHEMES = "Bearer, or Basic with any user name and the token as password"


def check_token(token: str | None, authorization: str | None) -> None:
    """Let a request in or not; how long it takes tells nothing about the token.

    Args:
        token: the server's; None lets everybody in.
        authorization: the header of that name, or the gRPC metadata.

    Raises:
        Unauthorized: it is missing or wrong.
    """
    if token is None:
        return
    shown = _shown(authorization or "")
    if not hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), token.encode()):
        raise Unauthorized(f"this server wants its token in the authorization header ({SCHEMES})")


def _shown(authorization: str) -> str:
    """The token in a header; empty if there is none."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that binds `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
