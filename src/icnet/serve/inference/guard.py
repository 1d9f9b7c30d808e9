"""What holds for every gRPC call: who may make it, how it is refused, counted and logged."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import unquote

import grpc

from icnet.serve.budget import Share
from icnet.serve.errors import BadRequest, Overloaded, Refused, TooLarge
from icnet.serve.http.body import in_time
from icnet.serve.inference.messages import SERVICE
from icnet.serve.logs import event, request_id
from icnet.serve.models import Served
from icnet.serve.security import check_token
from icnet.serve.service import Service

Call = Callable[[bytes], Awaitable[tuple[bytes, Served | None]]]
"""From an encoded message to another, and the model that made it."""

_HEALTH = frozenset({"ServerLive", "ServerReady"})
"""Probes know no token, and their messages are not read."""

_CANCEL_SECONDS = 0.05

_LONGEST_SMALL = 4096
"""Bytes of a message that holds no tensor: it is read in the event loop."""


class Guard:
    """What holds for every call: who may make it, how it is refused, counted and logged."""

    def __init__(self, service: Service) -> None:
        self._service, self._calls = service, 0

    def guarded(self, name: str, call: Call) -> Callable[[AsyncIterator[bytes], grpc.aio.ServicerContext], Awaitable[bytes]]:
        """The handler of a method."""

        async def handler(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
            visit = _Visit(name, context)
            try:
                await context.send_initial_metadata((("x-request-id", visit.request_id),))
                with self._service.budget.share() as share:
                    reply, visit.served = await call(await self._message(visit, share))
                visit.status = "OK"
                return reply
            except Refused as error:
                visit.status = error.code.name
                self._service.metrics.rejected("grpc", error.reason)
                await context.abort(error.code, str(error), tuple(error.wait.items()))
            except Exception as error:
                visit.status = "INTERNAL"
                event("error", logging.ERROR, trace=error, request_id=visit.request_id)
                text = f"an error inside the server; its log has the details under request {visit.request_id}"
                await context.abort(grpc.StatusCode.INTERNAL, text)
            finally:
                self._note(visit)
            raise AssertionError("an aborted call goes on")

        return handler

    async def _message(self, visit: "_Visit", share: Share) -> bytes:
        """Let the call in, then read its message."""
        if visit.name in _HEALTH:
            return b""
        check_token(self._service.token, visit.metadata.get("authorization"))
        if visit.name == "ModelInfer":
            self._service.check()
        self._let_in(visit.context)
        async with in_time(self._service):
            with self._service.metrics.stage("read"):
                message = await visit.context.read()
        if message is grpc.aio.EOF:
            # Also if the client is gone, or gRPC has refused the message and told the client so: then this is cancelled now.
            await asyncio.sleep(_CANCEL_SECONDS)
            raise BadRequest("the call has no message")
        if visit.name == "ModelInfer":
            share.take(len(message))
        elif len(message) > _LONGEST_SMALL:
            raise TooLarge(f"a message of this kind may have {_LONGEST_SMALL} bytes at most")
        return bytes(message)

    def _let_in(self, context: grpc.aio.ServicerContext) -> None:
        """Count a call until its reply is on its way to the client, however slowly that reads."""
        if self._calls >= self._service.limits.connections:
            raise Overloaded("as many calls as the server takes at one time are in progress: try again in a moment")
        self._calls += 1

        def left(_: object) -> None:
            self._calls -= 1

        context.add_done_callback(left)

    def _note(self, visit: "_Visit") -> None:
        route, seconds, served = f"/{SERVICE}/{visit.name}", time.perf_counter() - visit.begun, visit.served
        self._service.metrics.answered("grpc", route, visit.status, seconds)
        event(
            "request", logging.DEBUG if visit.name in _HEALTH else logging.INFO,
            protocol="grpc", method=visit.name, route=route, status=visit.status, seconds=round(seconds, 6),
            request_id=visit.request_id, client=visit.client,
            model=served and served.name, version=served and served.version,
        )  # fmt: skip


class _Visit:
    """One call on its way through."""

    def __init__(self, name: str, context: grpc.aio.ServicerContext) -> None:
        self.name, self.context, self.begun = name, context, time.perf_counter()
        self.metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        self.request_id = request_id(self.metadata.get("x-request-id"))
        # Such as `ipv4:127.0.0.1:80` or `ipv6:%5B::1%5D:80`; nothing of it is known once the call is over.
        self.client = unquote(context.peer()).partition(":")[2].rpartition(":")[0].strip("[]")
        self.status = "CANCELLED"
        self.served: Served | None = None
