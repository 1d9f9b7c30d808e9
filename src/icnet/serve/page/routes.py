"""The page that people open in a browser."""

import asyncio
import mimetypes
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from icnet.base.classes import Classes
from icnet.serve.pictures.results import jpeg
from icnet.serve.service import Service
from icnet.street.drive import StreetDrive, StreetOptions

mimetypes.add_type("text/javascript", ".js")  # some systems say otherwise, and browsers do not run a script then

_REVALIDATE = {"cache-control": "no-cache"}

_EXAMPLE = StreetOptions(seed=5), 30
"""A street and the number of its frame."""


class _Example:
    """A synthetic street as a JPEG, painted when it is first asked for."""

    def __init__(self) -> None:
        self._painting: asyncio.Task[bytes] | None = None

    async def jpeg(self) -> bytes:
        """The file; who asks while it is being painted waits for the same painting."""
        if self._painting is None:
            self._painting = asyncio.create_task(asyncio.to_thread(_paint))
        return await asyncio.shield(self._painting)  # a client that leaves does not end it for the others


def _paint() -> bytes:
    options, number = _EXAMPLE
    return jpeg(StreetDrive(options)[number].image)


def _listed(classes: Classes) -> list[dict[str, Any]]:
    named = enumerate(zip(classes.names, classes.palette, strict=True))
    return [{"name": name, "rgb": rgb, "unlabeled": index == classes.void} for index, (name, rgb) in named]


def routes(service: Service) -> list[Route]:
    """Routes of the page: `/`, its parts under `/page/`, what it must know of the service, and an example scene.

    Args:
        service: whose models the page offers.
    """
    files, example = StaticFiles(directory=Path(__file__).with_name("static"), follow_symlink=True), _Example()

    async def file(request: Request) -> Response:
        response = await files.get_response(request.scope["path"][1:] or "index.html", request.scope)
        response.headers.update(_REVALIDATE)
        return response

    async def facts(_: Request) -> Response:
        first = service.models.get().segmenter.classes
        models = [
            {"name": served.name, "version": served.version, "confidence": served.segmenter.engine.output != "index"}
            | ({} if served.segmenter.classes == first else {"classes": _listed(served.segmenter.classes)})
            for served in service.models
        ]
        return JSONResponse({"classes": _listed(first), "models": models}, headers=_REVALIDATE)

    async def example_scene(_: Request) -> Response:
        return Response(await example.jpeg(), media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    return [
        Route("/", file),
        Route("/page/classes.json", facts),
        Route("/page/example.jpg", example_scene),
        Route("/page/{name}", file),
    ]
