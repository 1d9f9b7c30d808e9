"""Contact sheets: the results of many pictures on one page."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from icnet.base.errors import InputError
from icnet.base.files import replacing
from icnet.media.jobs import Job
from icnet.media.remote import read_picture
from icnet.pictures.reading import read_image
from icnet.results.style import Style
from icnet.runtime.segmenter import Segmentation

STEM = "contact-sheet"
"""Pages are `contact-sheet.jpg`, `contact-sheet-2.jpg` and so on; no other result ends in `.jpg`."""

_COLUMNS, _ROWS = 6, 20
_CELL_WH = (240, 180)
_LABEL, _MARGIN = 18, 8
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def write_sheets(folder: Path, jobs: Sequence[Job], style: Style, *, max_pixels: int) -> list[Path]:
    """Draw the overlays of segmented pictures, small, with their names; gives the pages.

    Args:
        folder: of the sheets.
        jobs: finished, of pictures; each must have written an overlay or a class map.
        style: classes and colours, where the overlay has to be drawn.
        max_pixels: of a picture.

    Raises:
        OutputError: a page cannot be written.
    """
    size = _COLUMNS * _ROWS
    pages = []
    for start in range(0, len(jobs), size):
        number = start // size + 1
        pages.append(folder / (f"{STEM}.jpg" if number == 1 else f"{STEM}-{number}.jpg"))
        buffer = BytesIO()
        _page(jobs[start : start + size], style, max_pixels).save(buffer, "JPEG", quality=88)
        with replacing(pages[-1]) as temporary:
            temporary.write_bytes(buffer.getvalue())
    return pages


def _page(jobs: Sequence[Job], style: Style, max_pixels: int) -> Image.Image:
    columns = min(_COLUMNS, len(jobs))
    rows = -(-len(jobs) // columns)
    width, height = _CELL_WH[0] + _MARGIN, _CELL_WH[1] + _LABEL + _MARGIN
    page = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), _PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=12)
    for place, job in enumerate(jobs):
        left, top = _MARGIN + place % columns * width, _MARGIN + place // columns * height
        small = _small(job, style, max_pixels)
        if small is not None:
            across, down = (_CELL_WH[0] - small.width) // 2, (_CELL_WH[1] - small.height) // 2
            page.paste(small, (left + across, top + down))
        pen.text((left, top + _CELL_WH[1] + 2), _shortened(job.source.shown, font), _INK, font)
    return page


def _small(job: Job, style: Style, max_pixels: int) -> Image.Image | None:
    """The overlay at the size of a cell; None if a file has vanished meanwhile."""
    try:
        if "overlay" in job.paths:
            picture = _fitted(read_image(job.paths["overlay"], max_pixels=max_pixels))
        else:
            frame = _fitted(read_picture(job.source, max_pixels=max_pixels))
            classes = cv2.imdecode(np.fromfile(job.paths["classes"], np.uint8), cv2.IMREAD_GRAYSCALE)
            if classes is None:
                return None
            classes = cv2.resize(classes, frame.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
            picture = style.overlay(Segmentation(frame, classes, style.table), legend=False)
    except (InputError, OSError):
        return None
    return Image.fromarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def _fitted(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    scale = min(_CELL_WH[0] / width, _CELL_WH[1] / height)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA)


def _shortened(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of the end of a name as fits under a picture."""
    name = name.encode("utf-8", "replace").decode()
    shown = name
    while font.getlength(shown) > _CELL_WH[0] and len(name) > 1:
        name = name[1:]
        shown = "…" + name
    return shown
