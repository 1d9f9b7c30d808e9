"""A segmentation in the form that a client asked for."""

import json
from dataclasses import dataclass
from io import StringIO
from typing import Literal

import cv2
import numpy as np

from icnet.results.documents import FrameInfo
from icnet.results.forms import FORMS, GEOJSON, JPEG, JSON, PNG, FormName, document_writer, draw
from icnet.results.png import png
from icnet.results.style import Style
from icnet.runtime.overlay import OPACITY
from icnet.runtime.segmenter import Segmentation
from icnet.serve.errors import BadRequest, NotAcceptable
from icnet.serve.http.accept import preferred
from icnet.serve.models import Served

Form = Literal[FormName, "layers", "shares"]
"""What a result can be: a form that `icnet segment --write` knows, `layers` for the page, or `shares`."""

_BY_MEDIA_TYPE: dict[str, Form] = {PNG: "classes", JPEG: "overlay", GEOJSON: "geojson", JSON: "shares"}
"""What a client gets that asks by media type only."""

_MEDIA_TYPES: dict[str, tuple[str, ...]] = {
    **{name: form.media_types for name, form in FORMS.items()},
    "layers": (PNG,),
    "shares": (JSON,),
}

_JPEG_QUALITY = 90

_LONGEST_SIDE = 65_500
"""Pixels; what JPEG and libjpeg hold."""


@dataclass(frozen=True)
class Wanted:
    """What a client asked for."""

    style: Style
    form: Form = "classes"
    media_type: str = PNG
    opacity: float = OPACITY
    """Of the colours in an overlay."""
    legend: bool = True
    """Whether an overlay names its classes."""

    @property
    def confidence(self) -> bool:
        """Whether it has to be computed."""
        return self.form in ("confidence", "layers")


def negotiate(form: Form | None, accept: str | None) -> tuple[Form, str]:
    """Find the form and media type of the result; a form that is asked for by name counts more than the header `accept`.

    Raises:
        NotAcceptable: no form is named, and none has an acceptable media type.
    """
    if form is not None:
        media_types = _MEDIA_TYPES[form]
        return form, preferred(accept, media_types) or media_types[0]
    media_type = preferred(accept, list(_BY_MEDIA_TYPE))
    if media_type is None:
        raise NotAcceptable(
            f"the accept header takes none of {', '.join(_BY_MEDIA_TYPE)}: name one, or choose by the parameter as"
        )
    return _BY_MEDIA_TYPE[media_type], media_type


def encode(segmentation: Segmentation, wanted: Wanted, served: Served) -> bytes:
    """Write a result of the model `served` in the form `wanted`; the segmentation has its confidence if that has to be computed.

    Raises:
        BadRequest: the picture is too long for JPEG.
    """
    style = wanted.style
    match wanted.form:
        case "shares":
            return _shares(segmentation, style, served)
        case "geojson" | "coco" | "rle":
            text = StringIO()
            document = document_writer(wanted.form, text, style)
            with document:
                document.add(FrameInfo("image", 0, None), segmentation.classes)
            return text.getvalue().encode("ascii")
        case "overlay":
            overlay = style.overlay(segmentation, opacity=wanted.opacity, legend=wanted.legend)
            return png(overlay) if wanted.media_type == PNG else jpeg(overlay)
        case "layers":
            assert segmentation.confidence is not None, "it was not asked for"
            return png(np.vstack([style.classes(segmentation), segmentation.confidence]))
        case form:
            return png(draw(segmentation, [form], style)[form], palette_rgb=style.palette_rgb if form == "palette" else None)


def _shares(segmentation: Segmentation, style: Style, served: Served) -> bytes:
    height, width = segmentation.classes.shape
    shares, names = segmentation.shares(), [segmentation.table.names[index] for index in style.only]
    about = {"model": served.name, "version": served.version, "width": width, "height": height}
    return json.dumps({**about, "shares": {name: shares[name] for name in names}}).encode()


def jpeg(image: np.ndarray) -> bytes:
    """The JPEG file of (H, W, 3) uint8 BGR.

    Raises:
        BadRequest: the picture is too long for JPEG.
    """
    if max(image.shape) > _LONGEST_SIDE:
        raise BadRequest(f"JPEG holds {_LONGEST_SIDE} pixels a side and the picture has {max(image.shape)}: ask for image/png")
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
