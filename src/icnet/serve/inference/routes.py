"""The Open Inference Protocol over HTTP, with tensors in JSON or behind it (Triton's binary tensor data extension)."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from icnet.serve.errors import TooLarge, UnsupportedMedia
from icnet.serve.http.body import in_time, received
from icnet.serve.http.headers import model_headers
from icnet.serve.http.validation import Model, validated
from icnet.serve.inference import protocol
from icnet.serve.inference.exchange import HEADER, InferenceResponse, respond
from icnet.serve.inference.json_body import read_json
from icnet.serve.inference.schemas import IndexRequest, RepositoryRequest
from icnet.serve.service import Service
from icnet.serve.statistics import Recording

_LONGEST_SMALL = 64 * 1024
"""Bytes of a body that holds no picture."""


def routes(service: Service) -> list[Route]:
    """The routes of a service."""
    at = _Endpoints(service)
    models = [
        route
        for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
        for route in (
            Route(path, at.model),
            Route(f"{path}/ready", at.model_ready),
            Route(f"{path}/config", at.config),
            Route(f"{path}/stats", at.statistics),
            Route(f"{path}/infer", at.infer, methods=["POST"]),
        )
    ]
    return [
        Route("/v2", at.server),
        Route("/v2/health/live", at.live),
        Route("/v2/health/ready", at.ready),
        Route("/v2/models/stats", at.statistics),
        *models,
        Route("/v2/repository/index", at.index, methods=["POST"]),
        Route("/v2/repository/models/{name}/load", at.load, methods=["POST"]),
        Route("/v2/repository/models/{name}/unload", at.unload, methods=["POST"]),
    ]


class _Endpoints:
    """What is done at each address; a path has the name of a model, and its version or not."""

    def __init__(self, service: Service) -> None:
        self._service, self._reloads = service, protocol.Reloads(service)

    async def server(self, _: Request) -> Response:
        return JSONResponse(protocol.SERVER)

    async def live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, _: Request) -> Response:
        return self._readiness()

    async def model(self, request: Request) -> Response:
        return JSONResponse(protocol.metadata(self._service.models.get(**request.path_params)))

    async def model_ready(self, request: Request) -> Response:
        return self._readiness(name=self._service.models.get(**request.path_params).name)

    async def config(self, request: Request) -> Response:
        return JSONResponse(protocol.configuration(self._service.models.get(**request.path_params), self._service.limits))

    async def statistics(self, request: Request) -> Response:
        return JSONResponse(protocol.statistics(self._service, **request.path_params))

    def _readiness(self, **about: str) -> Response:
        ready = self._service.ready
        return JSONResponse({**about, "ready": ready}, 200 if ready else 503)

    async def infer(self, request: Request) -> Response:
        service, served = self._service, self._service.models.get(**request.path_params)
        lengths = request.headers.getlist(HEADER)
        async with received(request, service) as body:
            arrived_ns = time.perf_counter_ns()

            def work() -> InferenceResponse:
                with Recording(service.metrics, arrived_ns) as recording:
                    return respond(service, served, body, lengths, recording)

            response = await service.pool.run(work)
        return _sent(response, model_headers(served))

    async def index(self, request: Request) -> Response:
        await self._small(request, IndexRequest)
        return JSONResponse(protocol.index(self._service))

    async def load(self, request: Request) -> Response:
        parameters = (await self._small(request, RepositoryRequest)).parameters
        return JSONResponse(protocol.state(await self._reloads.load(request.path_params["name"], parameters)))

    async def unload(self, request: Request) -> NoReturn:
        await self._small(request, RepositoryRequest)
        self._reloads.unload(request.path_params["name"])

    async def _small(self, request: Request, model: type[Model]) -> Model:
        """Read a body that holds no picture, however busy the workers are; an empty one counts as `{}`."""
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise UnsupportedMedia("a body of this kind is taken without content-encoding only")
        body = bytearray()
        async with in_time(self._service):
            async for chunk in request.stream():
                if len(body) + len(chunk) > _LONGEST_SMALL:
                    raise TooLarge(f"a body of this kind may have {_LONGEST_SMALL} bytes at most")
                body += chunk
        return validated(model, read_json(bytes(body or b"{}"), self._service.limits.json_depth).document)


def _sent(response: InferenceResponse, headers: dict[str, str]) -> Response:
    """A response that is never whole in memory: the gatekeeper sends its pieces in portions."""
    media_type = "application/json"
    if response.json_bytes is not None:
        media_type, headers[HEADER] = "application/octet-stream", str(response.json_bytes)
    headers["Content-Length"] = str(response.size_bytes)
    return StreamingResponse(_each(response.pieces), media_type=media_type, headers=headers)


async def _each(pieces: Sequence[bytes | memoryview]) -> AsyncIterator[bytes | memoryview]:
    for piece in pieces:
        yield piece
