"""The HTTP side put together."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from icnet import __version__
from icnet.serve.errors import Refused, error_document
from icnet.serve.http.gatekeeper import HEALTH, Gatekeeper, refusal
from icnet.serve.inference.routes import router as inference_router
from icnet.serve.page.routes import router as page_router
from icnet.serve.pictures.routes import router as pictures_router
from icnet.serve.service import Service

_ABOUT = "Semantic segmentation of road scenes: pictures in, class maps out, and the Open Inference Protocol."


def build_app(service: Service) -> FastAPI:
    """The ASGI application of a service."""
    app = FastAPI(title="icnet", version=__version__, description=_ABOUT, docs_url=None, redoc_url=None)
    for router in (inference_router, pictures_router, page_router):
        app.include_router(router(service))

    @app.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(service.metrics.page(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    setattr(app, "openapi", lambda: _schema(app))  # noqa: B010 - the documented way to change the schema
    app.add_middleware(Gatekeeper, service=service)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    request.state.refused = error.reason
    return refusal(error)


async def _invalid(request: Request, error: Exception) -> Response:
    """What FastAPI finds wrong with a parameter."""
    assert isinstance(error, RequestValidationError)
    request.state.refused = "bad_request"
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"][:2])
    return JSONResponse(error_document(f"{where[:80]}: {first['msg']}"), 400)


async def _http_error(request: Request, error: Exception) -> Response:
    """No such path, or not by this method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    text = {
        404: "there is nothing at this address: /openapi.json lists what there is",
        405: f"this address takes {headers.get('Allow', 'another method')} only",
    }
    return JSONResponse(error_document(text.get(error.status_code, error.detail)), error.status_code, headers)


def _schema(app: FastAPI) -> dict[str, Any]:
    """FastAPI's schema with what every route has in common: our form of errors, and who may ask."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = schema.setdefault("components", {})
        for name in ("HTTPValidationError", "ValidationError"):
            components.get("schemas", {}).pop(name, None)
        components["securitySchemes"] = {name: {"type": "http", "scheme": name} for name in ("bearer", "basic")}
        schema["security"] = [{}, {"bearer": []}, {"basic": []}]
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                answers = operation["responses"]
                answers.pop("422", None)
                if path in HEALTH:
                    operation["security"] = []
                else:
                    answers.setdefault("401", _problem("The token is missing or wrong, if the server has one."))
                answers.setdefault("400", _problem("The request is wrong."))
                answers.setdefault("403", _problem("The request comes from a page of another site, or names another server."))
        app.openapi_schema = schema
    return app.openapi_schema


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
