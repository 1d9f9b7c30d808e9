"""Who may use the server."""

import base64
import hashlib
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
    # digests have one length: the comparison would tell the token's
    same = hmac.compare_digest(hashlib.sha256(shown).digest(), hashlib.sha256(token.encode()).digest())
    if not (shown and same):
        raise Unauthorized(f"this server wants its token in the authorization header ({SCHEMES})")


def _shown(authorization: str) -> bytes:
    """The token in a header; empty if there is none."""
    scheme, _, value = authorization.strip(" \t").partition(" ")
    try:
        sent = value.strip(" \t").encode("latin-1")  # as servers decode headers: these are the client's own bytes
        if scheme.lower() == "bearer":
            return sent
        if scheme.lower() == "basic":
            return base64.b64decode(sent, validate=True).partition(b":")[2]
    except ValueError:  # also what base64 and encodings raise
        pass
    return b""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that binds `host`: an address, or `localhost`; other names do not count."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
