"""Everything that holds for every HTTP request: who may ask, what is told in the headers, what is counted and logged."""

import asyncio
import contextlib
import ipaddress
import logging
import re
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from icnet.serve.budget import Share
from icnet.serve.errors import BadRequest, Draining, Forbidden, Overloaded, Refused
from icnet.serve.http.refusal import error_response, refusal
from icnet.serve.logs import event, request_id
from icnet.serve.security import check_token
from icnet.serve.service import Service

HEALTH = frozenset({"/v2/health/live", "/v2/health/ready"})
"""Probes know no token."""
_QUIET = HEALTH | {"/metrics"}
"""Asked every few seconds."""

_LARGE_BYTES = 64 << 10
"""Larger responses are accounted for, and sent so many bytes at a time."""
_FAREWELL_SECONDS = 1.0
"""The end does not wait longer for a client to take a refusal."""

_LONGEST_PATH, _LONGEST_METHOD = 200, 20
"""As logged."""

_STANDING = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=(), display-capture=(), payment=(), usb=()"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]
"""Headers of every response."""
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")
_NOT_KEPT = (b"cache-control", b"no-store")

_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9._~%!$&'()*+,;=-]{1,255}))(?::(?P<port>\d{0,5}))?")


class Gatekeeper:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        """Stand before `app`, which notes the `reason` of what it refuses in `scope["state"]["refused"]`."""
        self._app, self._service = app, service
        self._hosts = None if service.hosts is None else frozenset(_plain_name(host.strip("[]")) for host in service.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id(headers.get("x-request-id"))
        with self._service.responses.share() as share:
            await self._pass(_Visit(scope, receive, send, share), headers)

    async def _pass(self, visit: "_Visit", headers: Headers) -> None:
        scope, state = visit.scope, visit.scope["state"]
        try:
            try:
                self._check(scope, headers)
            except Refused as error:
                await visit.refuse(error)
            else:
                await self._app(scope, visit.receive, visit.send)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # the server waits no longer
            if visit.status is not None:
                raise
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await visit.refuse(Draining("the server ended before this was done: try another, or again in a few seconds"))
                return
            raise
        except Exception as error:
            event("error", logging.ERROR, trace=error, request_id=state["request_id"])
            if visit.status is None:
                text = f"an error inside the server; its log has the details under request {state['request_id']}"
                await error_response(text, 500)(scope, visit.receive, visit.send)
        finally:
            self._note(visit)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host")
        parsed = None if host is None else _HOST.fullmatch(host)
        if host is not None and parsed is None:
            raise BadRequest("the host header is no name or address, with or without a port")
        if self._hosts is not None and (parsed is None or _plain_name(parsed["ipv6"] or parsed["name"]) not in self._hosts):
            raise Forbidden(
                "this server has another name than the request's host header: ask it by its own, or name that with --allow-host"
            )
        allowed = not self._service.origins.isdisjoint(("*", headers.get("origin")))
        if scope["method"] not in ("GET", "HEAD") and not allowed and _from_elsewhere(headers, parsed):
            raise Forbidden("browsers may send this from the server's own page only")
        if scope["path"] not in HEALTH:
            check_token(self._service.token, headers.get("authorization"))

    def _note(self, visit: "_Visit") -> None:
        scope, metrics, state = visit.scope, self._service.metrics, visit.scope["state"]
        seconds = time.perf_counter() - visit.begun
        route = getattr(scope.get("route"), "path", None) or "other"
        status = "499" if visit.status is None else str(visit.status)  # nobody was left to answer: as nginx has it
        metrics.answered("http", route, status, seconds)
        if "refused" in state:
            metrics.rejected("http", state["refused"])
        event(
            "request", logging.DEBUG if scope["path"] in _QUIET else logging.INFO,
            protocol="http", method=scope["method"][:_LONGEST_METHOD], path=scope["path"][:_LONGEST_PATH], route=route,
            status=int(status), seconds=round(seconds, 6), bytes_in=visit.bytes_in, bytes_out=visit.bytes_out,
            request_id=state["request_id"], client=scope["client"][0] if scope.get("client") else None,
            model=visit.model, version=visit.version,
        )  # fmt: skip


class _Visit:
    """One request on its way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, share: Share) -> None:
        self.scope, self._receive, self._send, self._share = scope, receive, send, share
        self._dropped = False
        self.begun = time.perf_counter()
        self.status: int | None = None
        self.bytes_in = self.bytes_out = 0
        self.model: str | None = None
        self.version: str | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self.bytes_in += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if self._dropped:
            await asyncio.sleep(0)  # what is left may be much
        elif message["type"] == "http.response.start":
            headers = self._headers(message.get("headers", ()))
            try:
                self._account(dict(headers).get(b"content-length", b"0"))
            except Overloaded as error:
                await self.refuse(error)
                self._dropped = True
                return
            self.status = message["status"]
            await self._send({**message, "headers": headers})
        else:
            await self._send_portions(message)

    async def refuse(self, error: Refused) -> None:
        """Respond with an error."""
        self.scope["state"]["refused"] = error.reason
        await refusal(error)(self.scope, self.receive, self.send)

    def _account(self, length: bytes) -> None:
        """Clients that read slowly must not fill the memory with responses."""
        if self.scope["method"] != "HEAD" and int(length) > _LARGE_BYTES:
            self._share.take(int(length))

    async def _send_portions(self, message: Message) -> None:
        """After each portion but the last, the client is waited for; a large response at once would fill the socket's buffer."""
        body, more = message.get("body", b""), message.get("more_body", False)
        self.bytes_out += len(body)
        for start in range(0, len(body) or 1, _LARGE_BYTES):
            end = start + _LARGE_BYTES
            await self._send({**message, "body": bytes(body[start:end]), "more_body": more or end < len(body)})

    def _headers(self, own: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The application's headers and the standing ones."""
        headers = [(name.lower(), value) for name, value in own]
        names = dict(headers)
        self.model, self.version = (
            names.get(name, b"").decode("latin-1") or None for name in (b"x-model-name", b"x-model-version")
        )
        headers += _STANDING
        headers.append((b"x-request-id", self.scope["state"]["request_id"].encode()))
        if self.scope.get("scheme") == "https":
            headers.append(_HTTPS_ONLY)
        if b"cache-control" not in names:
            headers.append(_NOT_KEPT)
        return headers


def _plain_name(name: str) -> str:
    """A form in which equal names are equal."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower().removesuffix(".")


def _from_elsewhere(headers: Headers, host: re.Match[str] | None) -> bool:
    """Whether a browser sends this for a page of another origin: it would add the user's password by itself."""
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        url = urlsplit(origin)
        default = {"http": 80, "https": 443}[url.scheme]
        there = (_plain_name(url.hostname or ""), url.port or default)
    except (ValueError, KeyError):  # such as `null`, which sandboxed pages have
        return True
    return host is None or there != (_plain_name(host["ipv6"] or host["name"]), int(host["port"] or default))
