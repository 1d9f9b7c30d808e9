"""The page that people open in a browser."""

import asyncio
import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from icnet.base.classes import NAMES, PALETTE_RGB, VOID
from icnet.serve.errors import NotFound
from icnet.serve.pictures.answers import jpeg
from icnet.serve.service import Service
from icnet.street.drive import StreetDrive, StreetOptions

_FOLDER = Path(__file__).with_name("static")

_KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

_REVALIDATE = {"cache-control": "no-cache"}

_EXAMPLE = StreetOptions(seed=5), 30
"""A street and the number of its frame."""


class _File:
    """A file of the page, read once."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        self.kind = _KINDS[path.suffix]
        self.etag = f'"{hashlib.sha256(self.content).hexdigest()[:20]}"'

    def answer(self, request: Request) -> Response:
        """The file, or that the browser's copy is as good."""
        headers = {"etag": self.etag, **_REVALIDATE}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers={"content-type": self.kind, **headers})


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


def router(service: Service) -> APIRouter:
    """Routes of the page: `/`, its parts under `/page/`, what it must know of the service, and an example scene.

    Args:
        service: whose models the page offers.
    """
    routes = APIRouter(include_in_schema=False)
    files = {path.name: _File(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _KINDS}
    index = files.pop("index.html")
    example = _Example()
    methods = ["GET", "HEAD"]

    @routes.api_route("/", methods=methods)
    async def page(request: Request) -> Response:
        return index.answer(request)

    @routes.api_route("/page/classes.json", methods=methods)
    async def facts() -> Response:
        named = enumerate(zip(NAMES, PALETTE_RGB.tolist(), strict=True))
        classes = [{"name": name, "rgb": rgb, "unlabeled": index == VOID} for index, (name, rgb) in named]
        models = [
            {"name": served.name, "version": served.version, "confidence": served.segmenter.engine.output != "index"}
            for served in service.models
        ]
        return JSONResponse({"classes": classes, "models": models}, headers=_REVALIDATE)

    @routes.api_route("/page/example.jpg", methods=methods)
    async def example_scene() -> Response:
        return Response(await example.jpeg(), headers={"content-type": "image/jpeg", "cache-control": "private, max-age=3600"})

    @routes.api_route("/page/{name}", methods=methods)
    async def part(name: str, request: Request) -> Response:
        if name not in files:
            raise NotFound("the page has no such part")
        return files[name].answer(request)

    return routes
