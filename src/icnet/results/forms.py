"""The forms that a segmentation can be given: the one list of them, for files of pictures and videos, the server and the page."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

import numpy as np

from icnet.results.documents import CocoIds, CocoWriter, GeoJsonWriter
from icnet.results.style import Style
from icnet.runtime.segmenter import Segmentation

FormName = Literal["classes", "palette", "colour", "overlay", "confidence", "geojson", "coco", "rle"]

PNG, JPEG = "image/png", "image/jpeg"
GEOJSON, JSON = "application/geo+json", "application/json"

Document = GeoJsonWriter | CocoWriter

RUN_STEM = "annotations"
"""Begins the names of documents of a whole run."""


@dataclass(frozen=True)
class Form:
    """What a result can be. It is drawn, or it is a document."""

    media_types: tuple[str, ...]
    """The usual one first."""
    of_picture: str
    """What follows the stem of a picture's result."""
    of_clip: str
    """What follows the stem of a video's; a name without suffix is a folder of one picture per frame."""
    draw: Callable[[Segmentation, Style], np.ndarray] | None = None
    """(H, W) uint8, or (H, W, 3) uint8 BGR."""
    document: Callable[[Path | TextIO, Style, CocoIds | None], Document] | None = None
    """Opens a file, or writes to an open stream."""
    of_run: str | None = None
    """Name of the document that holds those of a whole run."""


def _confidence(segmentation: Segmentation, _: Style) -> np.ndarray:
    assert segmentation.confidence is not None, "it was not asked for"
    return segmentation.confidence


def _geojson(target: Path | TextIO, style: Style, _: CocoIds | None) -> Document:
    return GeoJsonWriter(target, style.table, style.outlined, min_area=style.min_area)


def _coco(target: Path | TextIO, style: Style, ids: CocoIds | None) -> Document:
    return CocoWriter(target, style.table, style.outlined, form="polygons", min_area=style.min_area, ids=ids)


def _rle(target: Path | TextIO, style: Style, ids: CocoIds | None) -> Document:
    return CocoWriter(target, style.table, style.outlined, form="rle", min_area=style.min_area, ids=ids)


def _classes(segmentation: Segmentation, style: Style) -> np.ndarray:
    return style.classes(segmentation)


FORMS: dict[FormName, Form] = {
    "classes": Form((PNG,), ".png", "", draw=_classes),
    "palette": Form((PNG,), "_palette.png", "_palette", draw=_classes),
    "colour": Form((PNG,), "_colour.png", "_colour.mp4", draw=lambda segmentation, style: style.colours(segmentation)),
    "overlay": Form((PNG, JPEG), "_overlay.png", ".mp4", draw=lambda segmentation, style: style.overlay(segmentation)),
    "confidence": Form((PNG,), "_confidence.png", "_confidence", draw=_confidence),
    "geojson": Form((GEOJSON,), ".geojson", ".geojson", document=_geojson),
    "coco": Form((JSON,), ".coco.json", ".coco.json", document=_coco, of_run=f"{RUN_STEM}.coco.json"),
    "rle": Form((JSON,), ".rle.json", ".rle.json", document=_rle, of_run=f"{RUN_STEM}.rle.json"),
}
"""All forms, in the order in which they are listed to people."""


def draw(segmentation: Segmentation, names: Iterable[FormName], style: Style) -> dict[FormName, np.ndarray]:
    """Those of the wanted forms that are pictures; `confidence` needs that of the segmentation.

    Returns:
        (H, W) uint8 for `classes`, `palette` and `confidence`, (H, W, 3) uint8 BGR for `colour` and `overlay`.
    """
    forms = ((name, FORMS[name]) for name in names)
    return {name: form.draw(segmentation, style) for name, form in forms if form.draw is not None}


def document_writer(name: FormName, target: Path | TextIO, style: Style, ids: CocoIds | None = None) -> Document:
    """What writes a form that is no picture (`geojson`, `coco`, `rle`) to a file or an open stream; `ids`: see `CocoWriter`."""
    document = FORMS[name].document
    assert document is not None, "it is drawn"
    return document(target, style, ids)
