"""`POST /v1/segment`: a picture in, its segmentation out."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
from pydantic import BaseModel, Field
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from icnet.base.errors import InputError, UsageError
from icnet.pictures.limits import TooCostly
from icnet.pictures.reading import decode_image
from icnet.results.style import read_style
from icnet.runtime.overlay import OPACITY
from icnet.serve.errors import BadRequest, TooLarge, UnsupportedMedia
from icnet.serve.http.body import received
from icnet.serve.http.headers import model_headers
from icnet.serve.http.multipart import FIELD, picture_part
from icnet.serve.http.validation import validated
from icnet.serve.models import Served
from icnet.serve.pictures.results import Form, Wanted, encode, negotiate
from icnet.serve.service import Service

_UNTOLD = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})
"""Media types of clients that do not know what they send; the last is what `curl --data-binary` says unless told otherwise."""


_LONGEST_LIST = 2000
"""Characters of a list of class names, which in an address, percent-encoded, must not be more than headers may have."""


class SegmentQuery(BaseModel, extra="forbid", frozen=True):
    """What the client asks for; all of it may be left out."""

    form: Form | None = Field(None, alias="as")
    model: str | None = None
    only: str | None = Field(None, max_length=_LONGEST_LIST)
    min_area: int = Field(0, ge=0, le=2**31 - 1)
    opacity: float = Field(OPACITY, ge=0, le=1, allow_inf_nan=False)
    abstain: float = Field(0, ge=0, le=1, allow_inf_nan=False)
    legend: bool = True


def routes(service: Service) -> list[Route]:
    """The route of a service."""

    async def segment(request: Request) -> Response:
        query = _query(request.query_params)
        served = service.models.get(query.model)
        wanted = _wanted(request.headers, query, served)
        content_type = request.headers.get("content-type", "")
        is_form = _is_form(content_type)
        _check_model(served, wanted, query.abstain)
        stages = _Stages(service)

        def decoded() -> np.ndarray:
            with stages("decode"):
                return _frame(picture_part(body, content_type) if is_form else body, service.limits.pixels)

        def work(frame: np.ndarray) -> bytes:
            with stages("segment"):
                segmentation = served.segmenter(frame, confidence=wanted.confidence, abstain=query.abstain)
            with stages("encode"):
                return encode(segmentation, wanted, served)

        async with received(request, service) as body:
            encoded = await service.pool.run_prepared(decoded, work)
        headers = model_headers(served) | {"Cache-Control": "no-store", "Server-Timing": stages.header}
        return Response(encoded, media_type=wanted.media_type, headers=headers)

    return [Route("/v1/segment", segment, methods=["POST"])]


def _query(parameters: QueryParams) -> SegmentQuery:
    for name, count in Counter(name for name, _ in parameters.multi_items()).items():
        if count > 1:
            raise BadRequest(f"the parameter {name} is given {count} times: give it once")
    return validated(SegmentQuery, dict(parameters))


def _wanted(headers: Headers, query: SegmentQuery, served: Served) -> Wanted:
    form, media_type = negotiate(query.form, ",".join(headers.getlist("accept")) or None)
    try:
        style = read_style(served.segmenter.classes, query.only, min_area=query.min_area)
    except UsageError as error:
        raise BadRequest(str(error)) from error
    return Wanted(style, form, media_type, query.opacity, query.legend)


def _is_form(content_type: str) -> bool:
    """Whether a form is sent, and not the picture itself; what that is its content tells.

    Raises:
        UnsupportedMedia: neither.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        return True
    if media_type in _UNTOLD or media_type.startswith("image/"):
        return False
    raise UnsupportedMedia(
        "this content-type is not read: send the picture itself as image/jpeg, image/png, image/webp or "
        f"application/octet-stream, or a multipart/form-data form with a file called {FIELD}"
    )


def _check_model(served: Served, wanted: Wanted, abstain: float) -> None:
    if abstain and served.segmenter.engine.output == "index":
        raise BadRequest(f"{served.name} gives class indices only, so it cannot abstain: leave abstain out")
    if abstain and served.segmenter.classes.void is None:
        raise BadRequest(f'{served.name} has no class for "no label", so it cannot abstain: leave abstain out')
    if wanted.confidence and served.segmenter.engine.output == "index":
        raise BadRequest(f"{served.name} gives class indices only, without confidence: ask for another form than {wanted.form}")


def _frame(picture: bytes, max_pixels: int) -> np.ndarray:
    """(H, W, 3) uint8 BGR."""
    try:
        return decode_image(picture, max_pixels=max_pixels)
    except TooCostly as error:
        raise TooLarge(f"cannot read the picture: {error.fact}, so send a smaller or plainer one") from error
    except InputError as error:
        raise BadRequest(f"cannot read the picture: {error}") from error


class _Stages:
    """Times the stages of a request for the metrics and for its client."""

    def __init__(self, service: Service) -> None:
        self._metrics, self._seconds = service.metrics, dict[str, float]()

    @contextmanager
    def __call__(self, name: Literal["decode", "segment", "encode"]) -> Iterator[None]:
        start = time.perf_counter()
        with self._metrics.stage(name):
            yield
        self._seconds[name] = time.perf_counter() - start

    @property
    def header(self) -> str:
        """What `Server-Timing` holds, in milliseconds."""
        return ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in self._seconds.items())
