"""The Open Inference Protocol over HTTP, with tensors in JSON or behind it (Triton's binary tensor data extension)."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, NoReturn

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from icnet.serve.errors import TooLarge, UnsupportedMedia
from icnet.serve.http.body import in_time, received
from icnet.serve.http.headers import model_headers
from icnet.serve.inference import protocol, schemas
from icnet.serve.inference.exchange import Answer, answer
from icnet.serve.inference.json_body import read_json
from icnet.serve.inference.openapi import HEADER, INFER, INFERRED, answers, takes
from icnet.serve.inference.schemas import Model, checked
from icnet.serve.models import Served
from icnet.serve.service import Service

_LONGEST_SMALL = 64 * 1024
"""Bytes of a body that holds no picture."""

_PORTION = 1 << 18
"""Bytes of an answer that are handed on at a time."""


def router(service: Service) -> APIRouter:
    """The routes of a service."""
    routes = APIRouter(prefix="/v2", default_response_class=JSONResponse)
    served = service.models.get()
    name = Path(description="Of the model.", examples=[served.name])
    version = Path(description="Of the model: the only one that it has here.", examples=[served.version])
    _add_server(routes, service)
    _add_models(routes, service, name, version)
    _add_inference(routes, service, name, version)
    _add_repository(routes, service, name)
    return routes


def _add_server(routes: APIRouter, service: Service) -> None:
    @routes.get("", summary="What this server is", responses=answers(schemas.ServerMetadata, refusals=(401,)))
    async def server() -> Response:
        return JSONResponse(protocol.SERVER)

    @routes.get("/health/live", summary="Whether the server answers", responses=answers(schemas.Live))
    async def live() -> Response:
        return JSONResponse({"live": True})

    @routes.get("/health/ready", summary="Whether new work is taken", responses=answers(schemas.Ready, (503, schemas.Ready)))
    async def ready() -> Response:
        return JSONResponse({"ready": service.ready}, 200 if service.ready else 503)


def _add_models(routes: APIRouter, service: Service, name_at: Any, version_at: Any) -> None:
    def readiness(served: Served) -> Response:
        return JSONResponse({"name": served.name, "ready": service.ready}, 200 if service.ready else 503)

    described = answers(schemas.ModelMetadata, refusals=(401, 404))
    ready = answers(schemas.ModelReady, (503, schemas.ModelReady), refusals=(401, 404))

    @routes.get("/models/{name}", summary="What a model takes and gives", responses=described)
    async def model(name: str = name_at) -> Response:
        return JSONResponse(protocol.metadata(service.models.get(name)))

    @routes.get("/models/{name}/versions/{version}", summary="What a version takes and gives", responses=described)
    async def model_version(name: str = name_at, version: str = version_at) -> Response:
        return JSONResponse(protocol.metadata(service.models.get(name, version)))

    @routes.get("/models/{name}/ready", summary="Whether a model is ready", responses=ready)
    async def model_ready(name: str = name_at) -> Response:
        return readiness(service.models.get(name))

    @routes.get("/models/{name}/versions/{version}/ready", summary="Whether a version is ready", responses=ready)
    async def model_version_ready(name: str = name_at, version: str = version_at) -> Response:
        return readiness(service.models.get(name, version))


def _add_inference(routes: APIRouter, service: Service, name_at: Any, version_at: Any) -> None:
    async def infer(request: Request, served: Served) -> Response:
        lengths = request.headers.getlist(HEADER)
        async with received(request, service) as body:
            result: Answer = await service.pool.run(lambda: answer(service, served, body, lengths))
        return _sent(result, model_headers(served))

    described = answers(schemas.InferenceResponse, refusals=(401, 404, 408, 413, 415, 503), **INFERRED)
    header = Header(
        None,
        alias=HEADER,
        description="Bytes of JSON before the binary data; if not given, the whole body is JSON.",
        json_schema_extra={"pattern": "^[0-9]+$"},
    )

    @routes.post("/models/{name}/infer", summary="Segment a tensor", responses=described, openapi_extra=INFER)
    async def model_infer(request: Request, name: str = name_at, length: str = header) -> Response:
        return await infer(request, service.models.get(name))

    @routes.post(
        "/models/{name}/versions/{version}/infer",
        summary="Segment a tensor by a version",
        responses=described,
        openapi_extra=INFER,
    )
    async def model_version_infer(
        request: Request, name: str = name_at, version: str = version_at, length: str = header
    ) -> Response:
        return await infer(request, service.models.get(name, version))


def _add_repository(routes: APIRouter, service: Service, name_at: Any) -> None:
    reloads = protocol.Reloads(service)
    refusals = (401, 408, 413, 415)

    @routes.post(
        "/repository/index",
        summary="The models here",
        responses=answers(list[schemas.ModelState], refusals=refusals),
        openapi_extra=takes(schemas.IndexRequest),
    )
    async def index(request: Request) -> Response:
        await _small(request, service, schemas.IndexRequest)
        return JSONResponse(protocol.index(service))

    @routes.post(
        "/repository/models/{name}/load",
        summary="Read a model from its files again",
        responses=answers(schemas.ModelState, refusals=(*refusals, 404, 503)),
        openapi_extra=takes(schemas.LoadRequest),
    )
    async def load(request: Request, name: str = name_at) -> Response:
        loaded = await reloads.load(name, (await _small(request, service, schemas.LoadRequest)).parameters)
        return JSONResponse(protocol.state(loaded))

    @routes.post(
        "/repository/models/{name}/unload",
        summary="Is refused: models are served until the server ends",
        status_code=403,
        response_model=None,
        responses=answers(None, refusals=(*refusals, 404)),
        openapi_extra=takes(schemas.UnloadRequest),
    )
    async def unload(request: Request, name: str = name_at) -> NoReturn:
        await _small(request, service, schemas.UnloadRequest)
        reloads.unload(name)


def _sent(result: Answer, headers: dict[str, str]) -> Response:
    media_type = "application/json"
    if result.json_bytes is not None:
        media_type, headers[HEADER] = "application/octet-stream", str(result.json_bytes)
    if result.size_bytes <= _PORTION:
        return Response(b"".join(result.pieces), media_type=media_type, headers=headers)
    headers["Content-Length"] = str(result.size_bytes)
    return StreamingResponse(_portions(result.pieces), media_type=media_type, headers=headers)


async def _portions(pieces: Sequence[bytes | memoryview]) -> AsyncIterator[bytes]:
    """A large body bit by bit: copied at once, as it is on its way to the socket, it would hold up all others."""
    for piece in pieces:
        for start in range(0, len(piece), _PORTION):
            yield bytes(piece[start : start + _PORTION])


async def _small(request: Request, service: Service, model: type[Model]) -> Model:
    """Read a body that holds no picture, however busy the workers are; an empty one counts as `{}`."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("a body of this kind is taken without content-encoding only")
    body = bytearray()
    async with in_time(service):
        async for chunk in request.stream():
            if len(body) + len(chunk) > _LONGEST_SMALL:
                raise TooLarge(f"a body of this kind may have {_LONGEST_SMALL} bytes at most")
            body += chunk
    return checked(model, read_json(bytes(body or b"{}"), service.limits.json_depth).document)
