"""The page on a real server whose models are replaced by plain arithmetic, so that every pixel of an answer is known."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import numpy as np
from listening import listening
from PIL import Image

from icnet.base.classes import CAMVID, Classes
from icnet.runtime.segmenter import Segmentation
from icnet.serve.app import build_app
from icnet.serve.limits import Limits
from icnet.serve.metrics import Metrics
from icnet.serve.models import Models, Served
from icnet.serve.pool import Pool
from icnet.serve.service import Service

SLOW_WIDTH = 77
"""A picture of this width is answered only when the site's `gate` is open."""


LIGHT = Classes(("dark blue", "blue", "light blue"), palette=((1, 2, 3), (40, 50, 60), (200, 210, 220)))
"""Classes of the model `light`, none of them for what has no label."""


class Arithmetic:
    """In place of a network: blue tells the class, green the confidence."""

    def __init__(self, gate: threading.Event, *, turned: bool = False, output: str = "logits", classes: Classes = CAMVID) -> None:
        self.engine, self.classes = SimpleNamespace(output=output), classes
        self.count = 0
        self._gate, self._turned = gate, turned

    def __call__(self, frame_bgr: np.ndarray, *, confidence: bool = False, abstain: float = 0.0) -> Segmentation:
        assert not abstain, "the page does that itself"
        if frame_bgr.shape[1] == SLOW_WIDTH:
            assert self._gate.wait(20)
        self.count += 1
        count = len(self.classes)
        classes = frame_bgr[..., 0] // (256 // count + 1)
        known = frame_bgr[..., 1] if confidence else None
        return Segmentation(frame_bgr, count - 1 - classes if self._turned else classes, self.classes, known)


class FixedModels(Models):
    """Models that are there already."""

    def __init__(self, *served: Served) -> None:
        self._served, self.default = {one.name: one for one in served}, served[0].name


@dataclass
class Site:
    """A running server."""

    service: Service
    gate: threading.Event
    url: str = ""

    def count(self) -> int:
        """Pictures segmented so far."""
        return sum(served.segmenter.count for served in self.service.models)  # type: ignore[attr-defined]


def new_site(*, limits: Limits | None = None) -> Site:
    """A site that does not run yet."""
    metrics, limits, gate = Metrics(), limits or Limits(body_bytes=1_000_000, pixels=3_000_000), threading.Event()
    models: list[Any] = [
        Arithmetic(gate),
        Arithmetic(gate, turned=True),
        Arithmetic(gate, output="index"),
        Arithmetic(gate, classes=LIGHT),
    ]
    names = ("first", "turned", "indices only", "light")
    served = (Served(name, f"{number}" * 12, model) for number, (name, model) in enumerate(zip(names, models, strict=True)))
    return Site(Service(FixedModels(*served), Pool(2, limits.queue, metrics), limits, metrics), gate)


@contextmanager
def running(site: Site) -> Iterator[Site]:
    """Serve in a thread."""
    with listening(site.service, build_app(site.service)) as server:
        site.url = f"http://127.0.0.1:{server.port}/"
        try:
            yield site
        finally:
            site.gate.set()


def picture(seed: int = 0, size_hw: tuple[int, int] = (60, 80), block: int = 10) -> np.ndarray:
    """(H, W, 3) uint8 RGB: blocks of random colours, so that all classes occur and are large enough to be hit."""
    height, width = size_hw
    colours = np.random.default_rng(seed).integers(0, 256, (-(-height // block), -(-width // block), 3), dtype=np.uint8)
    return colours.repeat(min(block, height), 0)[:height].repeat(min(block, width), 1)[:, :width]


def classes_of(image_rgb: np.ndarray) -> np.ndarray:
    """(H, W) uint8: what the model `first` answers."""
    return image_rgb[..., 2] // 22


def percent_of(image_rgb: np.ndarray) -> np.ndarray:
    """(H, W) int: the confidence as the page writes it."""
    return np.floor(image_rgb[..., 1] / 2.55 + 0.5).astype(int)


def blended(image_rgb: np.ndarray, classes: np.ndarray, opacity: float) -> np.ndarray:
    """(H, W, 3) float: the class colours over the picture."""
    return (1 - opacity) * image_rgb + opacity * CAMVID.palette_rgb[classes]


def png(image_rgb: np.ndarray) -> bytes:
    """A PNG file."""
    return encoded(image_rgb, "png")


def encoded(image_rgb: np.ndarray, form: str, **options: Any) -> bytes:
    """A file of any form that Pillow writes."""
    file = BytesIO()
    Image.fromarray(image_rgb).save(file, form, **options)
    return file.getvalue()


def pixels(file: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a PNG file."""
    return np.asarray(Image.open(BytesIO(file)).convert("RGB"))
