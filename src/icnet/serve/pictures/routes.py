"""`POST /v1/segment`: a picture in, its segmentation out."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from icnet.base.classes import NAMES
from icnet.base.errors import InputError, UsageError
from icnet.media.pictures import TooManyPixels, decode_image
from icnet.results.style import read_style
from icnet.runtime.overlay import OPACITY
from icnet.serve.errors import BadRequest, TooLarge, UnsupportedMedia
from icnet.serve.http.body import received
from icnet.serve.http.headers import model_headers
from icnet.serve.http.multipart import FIELD, picture_part
from icnet.serve.models import Served
from icnet.serve.pictures.answers import Form, Wanted, encode, negotiate
from icnet.serve.pictures.openapi import OPERATION, RESPONSES
from icnet.serve.service import Service

_UNTOLD = frozenset({"", "application/octet-stream", "application/x-www-form-urlencoded"})
"""Media types of clients that do not know what they send; the last is what `curl --data-binary` says unless told otherwise."""

_CLASS = f"({'|'.join(NAMES)})"

_Only = Annotated[
    str, Field(max_length=200, json_schema_extra={"pattern": f"^{_CLASS}(,{_CLASS})*$", "examples": ["Road,Pavement"]})
]


class SegmentQuery(BaseModel, extra="forbid", frozen=True):
    """What the answer is to be; all of it may be left out."""

    form: Form | SkipJsonSchema[None] = Field(
        None, alias="as", description="Form of the answer; if not given, the Accept header decides, and class indices are sent."
    )
    model: str | SkipJsonSchema[None] = Field(None, description="Name of the model; the server's first one if not given.")
    only: _Only | SkipJsonSchema[None] = Field(None, description="Classes to show, separated by commas; all if not given.")
    min_area: int = Field(0, ge=0, le=2**31 - 1, description="Leave smaller regions out of geojson, coco and rle; in pixels.")
    opacity: float = Field(OPACITY, ge=0, le=1, allow_inf_nan=False, description="Of the class colours in an overlay.")
    abstain: float = Field(0, ge=0, le=1, allow_inf_nan=False, description="Pixels less sure than this become Unlabeled.")
    legend: bool = Field(True, description="Name the classes in an overlay.")


def router(service: Service) -> APIRouter:
    """The route of a service."""
    routes = APIRouter()

    @routes.post(
        "/v1/segment",
        summary="Segment a picture",
        response_class=Response,
        responses=RESPONSES,
        openapi_extra=OPERATION,
    )
    async def segment(request: Request, query: Annotated[SegmentQuery, Query()]) -> Response:
        wanted = _wanted(request, query)
        content_type = request.headers.get("content-type", "")
        is_form = _is_form(content_type)
        served = service.models.get(query.model)
        _check_model(served, wanted, query.abstain)
        stages = _Stages(service)

        def work() -> bytes:
            with stages("decode"):
                frame = _frame(picture_part(body, content_type) if is_form else body, service.limits.pixels)
            with stages("segment"):
                segmentation = served.segmenter(frame, confidence=wanted.confidence, abstain=query.abstain)
            with stages("encode"):
                return encode(segmentation, wanted, served)

        async with received(request, service) as body:
            answer = await service.pool.run(work)
        headers = {
            **model_headers(served),
            "Cache-Control": "no-store",
            "Server-Timing": stages.header,
        }
        return Response(answer, media_type=wanted.media_type, headers=headers)

    return routes


def _wanted(request: Request, query: SegmentQuery) -> Wanted:
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        if count > 1:
            raise BadRequest(f"the parameter {name} is given {count} times: give it once")
    form, media_type = negotiate(query.form, ",".join(request.headers.getlist("accept")) or None)
    try:
        style = read_style(query.only, min_area=query.min_area)
    except UsageError as error:
        raise BadRequest(str(error)) from error
    return Wanted(form, media_type, style, query.opacity, query.legend)


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
    if wanted.confidence and served.segmenter.engine.output == "index":
        raise BadRequest(f"{served.name} gives class indices only, without confidence: ask for another form than {wanted.form}")


def _frame(picture: bytes, max_pixels: int) -> np.ndarray:
    """(H, W, 3) uint8 BGR."""
    try:
        return decode_image(picture, max_pixels=max_pixels)
    except TooManyPixels as error:
        raise TooLarge(f"cannot read the picture: {error.fact}, so send a smaller one") from error
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
