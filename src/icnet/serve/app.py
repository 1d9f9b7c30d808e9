"""The HTTP side put together."""

import json
import re
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from icnet import __version__
from icnet.serve.errors import Refused
from icnet.serve.http.gatekeeper import Gatekeeper
from icnet.serve.http.refusal import error_response, refusal
from icnet.serve.inference.exchange import HEADER
from icnet.serve.inference.routes import routes as inference_routes
from icnet.serve.page.routes import routes as page_routes
from icnet.serve.pictures.routes import routes as pictures_routes
from icnet.serve.service import Service

_TOLD = ("X-Model-Name", "X-Model-Version", "X-Request-Id", "Server-Timing", "Retry-After", HEADER)
"""Headers that pages of other origins may read."""


def build_app(service: Service) -> Starlette:
    """The ASGI application of a service."""
    document = json.loads(Path(__file__).with_name("openapi.json").read_text("utf-8"))
    document["info"]["version"] = __version__

    async def openapi(_: Request) -> Response:
        served = service.models.get()
        for name, example in (("name", served.name), ("version", served.version)):
            document["components"]["parameters"][name]["schema"]["examples"] = [example]
        _tell_classes(document, service)
        return JSONResponse(document)

    async def metrics(_: Request) -> Response:
        return Response(service.metrics.page(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    return Starlette(
        routes=[
            *inference_routes(service),
            *pictures_routes(service),
            *page_routes(service),
            Route("/metrics", metrics),
            Route("/openapi.json", openapi),
        ],
        middleware=[*_elsewhere(service), Middleware(Gatekeeper, service=service)],
        exception_handlers={Refused: _refused, HTTPException: _http_error},
    )


def _tell_classes(document: dict[str, Any], service: Service) -> None:
    """Put the classes of all models, the first one's first, in the place of CamVid's."""
    names = list(dict.fromkeys(name for served in service.models for name in served.segmenter.classes.names))
    one = "|".join(map(re.escape, names))
    parameters = {each["name"]: each for each in document["paths"]["/v1/segment"]["post"]["parameters"]}
    parameters["only"]["schema"] |= {"pattern": f"^({one})(,({one}))*$", "examples": [",".join(names[3:5] or names[:1])]}
    document["components"]["schemas"]["ClassName"]["enum"] = names


def _elsewhere(service: Service) -> list[Middleware]:
    """What lets pages of other origins in, before the gatekeeper: browsers ask for leave without a token."""
    if not service.origins:
        return []
    policy = Middleware(
        CORSMiddleware,
        allow_origins=sorted(service.origins),
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["*"],
        allow_private_network=True,
        expose_headers=_TOLD,
    )
    return [policy]


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    request.state.refused = error.reason
    return refusal(error)


async def _http_error(request: Request, error: Exception) -> Response:
    """No such path, or not by this method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:  # which Starlette takes from a set
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    text = {
        404: "there is nothing at this address: /openapi.json lists what there is",
        405: f"this address takes {headers.get('Allow', 'another method')} only",
    }
    return error_response(text.get(error.status_code, error.detail), error.status_code, headers)
