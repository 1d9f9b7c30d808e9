"""How OpenAPI describes `POST /v1/segment`."""

from typing import Any

from icnet.base.classes import NAMES
from icnet.results.forms import GEOJSON, JPEG, JSON, PNG
from icnet.serve.http.headers import MODEL_HEADERS
from icnet.serve.http.multipart import FIELD
from icnet.serve.http.openapi import BINARY, refusals

_PICTURES = (JPEG, PNG, "image/webp")


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_WHOLE, _TEXT, _NUMBER = {"type": "integer", "minimum": 0}, {"type": "string"}, {"type": "number"}

_SHARES = _object(
    model=_TEXT,
    version=_TEXT,
    width=_WHOLE,
    height=_WHOLE,
    shares={
        "type": "object",
        "description": "Class name to its fraction of the pixels.",
        "propertyNames": {"enum": list(NAMES)},
        "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
    },
)

_COCO = _object(
    annotations={"type": "array", "items": _object(id=_WHOLE, image_id=_WHOLE, category_id=_WHOLE, area=_WHOLE)},
    images={"type": "array", "items": _object(id=_WHOLE, file_name=_TEXT, width=_WHOLE, height=_WHOLE)},
    categories={"type": "array", "items": _object(id=_WHOLE, name=_TEXT)},
)

_RING = {"type": "array", "minItems": 4, "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": _WHOLE}}

_FEATURES = _object(
    type={"const": "FeatureCollection"},
    axes=_TEXT,
    features={
        "type": "array",
        "items": _object(
            type={"const": "Feature"},
            properties=_object(**{"class": {"enum": list(NAMES)}, "class_index": _WHOLE, "area": _WHOLE, "frame": _WHOLE}),
            geometry=_object(type={"const": "Polygon"}, coordinates={"type": "array", "minItems": 1, "items": _RING}),
        ),
    },
)

_HEADERS = {
    **MODEL_HEADERS,
    "Server-Timing": {"description": "Milliseconds to decode the picture, segment it and encode the answer.", "schema": _TEXT},
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The segmentation, of the picture's own size: `classes` (8-bit class indices), `palette` (the same with "
        "colours), `confidence` (255 is certain), `layers` (grey, classes above confidence), `colour`, `overlay` (pictures), "
        "`geojson`, `coco`, `rle` (outlines or run lengths) or `shares` (the fraction of each class).",
        "headers": _HEADERS,
        "content": {
            PNG: {"schema": BINARY},
            JPEG: {"schema": BINARY},
            GEOJSON: {"schema": _FEATURES},
            JSON: {"schema": {"anyOf": [_SHARES, _COCO]}},
        },
    },
    **refusals(400, 401, 403, 404, 406, 408, 413, 415, 503),
}
"""Answers by status."""

OPERATION: dict[str, Any] = {
    "description": "Send the picture itself, or a form with it. Its content decides what it is: JPEG, PNG, WebP, BMP or TIFF, "
    "turned upright as its EXIF data say.",
    "requestBody": {
        "required": True,
        "content": {
            **{media_type: {"schema": BINARY} for media_type in (*_PICTURES, "application/octet-stream")},
            "multipart/form-data": {
                "schema": {**_object(**{FIELD: BINARY}), "additionalProperties": False},
                "encoding": {FIELD: {"contentType": ", ".join(_PICTURES)}},
            },
        },
    },
}
"""The rest of the operation, which FastAPI cannot tell from a signature."""
