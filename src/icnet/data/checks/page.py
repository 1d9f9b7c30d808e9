"""The report of a check as one page that needs nothing else."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

import cv2
import numpy as np

from icnet.base.classes import OUTSIDE, Classes
from icnet.base.files import write_bytes
from icnet.data.checks.check import Checked
from icnet.data.checks.faults import by_kind
from icnet.data.formats.source import Fault
from icnet.data.intake.opening import Read, read

_PICTURES_OF_A_KIND, _NAMES_OF_A_KIND, _EXAMPLES = 6, 200, 6

_WIDTH = 320
"""Pixels of a small picture."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left } td.n { text-align: right }
figure { display: inline-block; margin: 0 .6rem .6rem 0; vertical-align: top; width: 320px }
figcaption { overflow-wrap: anywhere }
img { max-width: 100%; display: block } .none { color: #777 } section { border-top: 1px solid #ccc; margin-top: 1.2rem }
.key { display: inline-block; width: 1em; height: 1em; vertical-align: -.15em; margin-right: .4em; border: 1px solid #888 }
:root { color-scheme: light dark }
"""


def write_page(checked: Checked, path: Path) -> None:
    """Write a page with the figures, some pictures with their labels, and each kind of fault with pictures of it.

    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(path, "".join(_page(checked)).encode("utf-8", "replace"))


def _page(checked: Checked) -> Iterator[str]:
    title = f"{escape(checked.source)}: {checked.verdict}"
    yield f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
    yield f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{title}</h1>'
    counts = ", ".join(f"{count} {split or 'in no split'}" for split, count in checked.pictures.items())
    sizes = ", ".join(f"{width}x{height} ({count})" for (height, width), count in checked.sizes[:5])
    yield f"<p>{counts}; of the format {escape(checked.format)}. Sizes: {sizes}{' and others' * (len(checked.sizes) > 5)}.</p>"
    yield from _shares(checked)
    for kind, faults in by_kind(checked.faults):
        yield f"<section><h2>{escape(kind.title)} ({len(faults)})</h2><p>{escape(kind.advice)}.</p>"
        for fault in faults[:_PICTURES_OF_A_KIND]:
            yield from _figures(checked, fault)
        rows = "".join(f"<li>{escape(fault.name)} {escape(fault.text)}</li>" for fault in faults[:_NAMES_OF_A_KIND])
        more = f"<p>and {len(faults) - _NAMES_OF_A_KIND} more</p>" if len(faults) > _NAMES_OF_A_KIND else ""
        yield f"<details><summary>all of them</summary><ul>{rows}</ul>{more}</details></section>"
    yield "<section><h2>Some of the pictures, with their labels</h2>"
    names = list(checked.items)
    for name in names[:: max(1, len(names) // _EXAMPLES)][:_EXAMPLES]:
        yield _figure(checked, name, name)
    yield "</section></html>\n"


def _shares(checked: Checked) -> Iterator[str]:
    """The share of each class in each split."""
    heads = "".join(f"<th>{escape(split or 'all')}, %</th>" for split in checked.shares)
    yield f"<table><tr><th>of the labelled pixels</th>{heads}</tr>"
    for name, (red, green, blue) in zip(checked.classes.names, checked.classes.palette, strict=True):
        cells = "".join(f'<td class="n">{_percent(shares[name])}</td>' for shares in checked.shares.values())
        key = f'<span class="key" style="background:#{red:02x}{green:02x}{blue:02x}"></span>'
        yield f"<tr><td>{key}{escape(name)}</td>{cells}</tr>"
    cells = "".join(f'<td class="n">{_percent(share)}</td>' for share in checked.labelled.values())
    yield f"<tr><th>labelled, of all pixels</th>{cells}</tr></table>"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if share else '<span class="none">none</span>'


def _figures(checked: Checked, fault: Fault) -> Iterator[str]:
    """The pictures that a fault is about, side by side."""
    yield _figure(checked, fault.name, f"{fault.name} {fault.text}")
    for other in fault.others[:1]:
        yield _figure(checked, other, other)


def _figure(checked: Checked, name: str, caption: str) -> str:
    item = checked.items.get(name)
    if item is None or checked.mapping is None:
        return ""
    one = read(item, checked.mapping)
    if one.picture is None:
        return ""
    images = "".join(
        f'<img alt="" src="data:image/jpeg;base64,{b64encode(_jpeg(image)).decode()}">' for image in _drawn(one, checked.classes)
    )
    return f"<figure>{images}<figcaption>{escape(caption)}</figcaption></figure>"


def _drawn(one: Read, classes: Classes) -> Iterable[np.ndarray]:
    """The picture with its labels over it; apart from it if they are of another size."""
    assert one.picture is not None
    pixels = one.picture.pixels
    picture = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    picture = _small(picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), cv2.INTER_AREA)
    if one.labels is None:
        return [picture]
    colours = np.zeros((256, 3), np.uint8)
    if one.ids is not None:
        colours[: len(classes)] = classes.palette_rgb[:, ::-1]
        ids = cv2.resize(one.ids, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        blended = cv2.addWeighted(picture, 0.5, colours[ids], 0.5, 0)
        return [np.where((ids == OUTSIDE)[..., None], picture, blended)]
    colours[:OUTSIDE] = np.random.default_rng(0).integers(64, 256, (OUTSIDE, 3))
    return [picture, colours[_small(one.labels.ids, cv2.INTER_NEAREST)]]


def _small(image: np.ndarray, interpolation: int) -> np.ndarray:
    height = max(1, round(image.shape[0] * _WIDTH / image.shape[1]))
    return cv2.resize(image, (_WIDTH, min(height, 4 * _WIDTH)), interpolation=interpolation)


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
