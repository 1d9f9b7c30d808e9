"""A frame in, a class map of the frame's own size out."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from icnet.base.classes import Classes
from icnet.base.errors import UsageError
from icnet.network.spec import DEFAULT_MODEL
from icnet.runtime.decode import decode_both
from icnet.runtime.engine import Engine, EngineOptions
from icnet.runtime.overlay import OPACITY, class_shares, draw_overlay
from icnet.runtime.preprocess import resize_frame
from icnet.runtime.smooth import Smoother

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One segmented frame."""

    frame: np.ndarray
    """(H, W, 3) uint8 BGR, as given."""
    classes: np.ndarray
    """(H, W) uint8 class indices, positions in `table.names`."""
    table: Classes
    """What they mean."""
    confidence: np.ndarray | None = None
    """(H, W) uint8, 255 times the probability that the network gives to its most probable class, which is the class of the pixel
    unless it abstained; None if it was not asked for."""

    def shares(self) -> dict[str, float]:
        """Class name to its fraction of the pixels, all classes; they sum to 1."""
        return class_shares(self.classes, self.table)

    def overlay(self, *, opacity: float = OPACITY, legend: bool = True) -> np.ndarray:
        """The frame with the class colours blended over it, (H, W, 3) uint8 BGR.

        Args:
            opacity: 0 shows only the frame, 1 only the colours.
            legend: name the classes that are present, in a corner.
        """
        return draw_overlay(self.frame, self.classes, self.table, opacity=opacity, legend=legend)


class Segmenter:
    """Segments road scenes: `Segmenter()(frame_bgr).classes`.

    Calls keep nothing from one frame to the next, but for a `Smoother` that they are given; calls from several threads may
    run side by side. It can be pickled and copied, see `Engine`; a fork of the process that loaded it cannot use it.

    Attributes:
        engine: the compiled model.
        classes: what the model answers: names, colours, and which class means "no label".
        abstain: the least confidence with which a pixel keeps its class.
    """

    def __init__(self, model: str | Path = DEFAULT_MODEL, options: EngineOptions | None = None, *, abstain: float = 0.0) -> None:
        """Load a model.

        Args:
            model: a published name, a `.safetensors` weight file, the `.xml` of an OpenVINO IR, or `hf://USER/NAME[@REVISION]`.
            options: `EngineOptions(cache=True)` if not given, which keeps the compiled model on the disk.
            abstain: pixels of which the network is less sure than this, from 0 to 1, get the class for "no label".

        Raises:
            ModelError, UsageError: see `icnet.runtime.engine.Engine`; or the model cannot tell how sure it is, or has no such
                class.
        """
        self.engine = Engine(model, options or EngineOptions(cache=True))
        self.classes = self.engine.classes
        self.abstain = self._checked(abstain)

    def _checked(self, abstain: float) -> float:
        if not 0 <= abstain <= 1:
            raise UsageError(f"a model cannot abstain below a confidence of {abstain:g}: give a number from 0 to 1")
        if abstain and self.engine.output == "index":
            raise UsageError("this model gives class indices only, so it cannot abstain: use one whose output is soft or logits")
        if abstain and self.classes.void is None:
            raise UsageError('this model has no class for "no label", so it cannot abstain: leave that out')
        return abstain

    def __call__(
        self,
        frame_bgr: np.ndarray,
        *,
        confidence: bool = False,
        smoother: Smoother | None = None,
        abstain: float | None = None,
    ) -> Segmentation:
        """Segment one frame.

        Args:
            frame_bgr: (H, W, 3) uint8 BGR of any size, as `cv2.imread` gives it.
            confidence: also tell how sure the network is of each pixel.
            smoother: remembers the frames before, of the same film or camera, to make the class maps steadier.
            abstain: instead of the segmenter's own.

        Returns:
            The class map at the frame's own size.

        Raises:
            InputError: not such an array.
            UsageError: confidence, a smoother or abstaining is asked of a model that gives class indices only.
        """
        least = self.abstain if abstain is None else self._checked(abstain)
        data = resize_frame(frame_bgr, self.engine.size_hw)
        raw = self.engine.infer(data)
        return self._segmentation(frame_bgr, raw if smoother is None else smoother(data, raw), confidence, least)

    def stream(
        self,
        items: Iterable[T],
        frame: Callable[[T], np.ndarray | None],
        *,
        confidence: bool = False,
        smoother: Smoother | None = None,
    ) -> Generator[tuple[T, Segmentation | None], None, None]:
        """Segment one frame after another, at a higher rate than calls would: the network always has the next frame at hand.

        Nobody else can use the segmenter until the iterator is exhausted or closed.

        Args:
            items: what belongs to a frame.
            frame: gives the frame of an item, (H, W, 3) uint8 BGR, which must not change until the item is yielded; None for an
                item without one. Called once for each.
            confidence: also tell how sure the network is of each pixel.
            smoother: makes the class maps steadier, if the items are the frames of one film or camera in order.

        Yields:
            Each item with its class map, in the order of `items`; with None if it had no frame.

        Raises:
            InputError, UsageError: as a call does.
        """

        def prepared(item: T) -> tuple[T, np.ndarray | None, np.ndarray | None]:
            image = frame(item)
            return item, image, None if image is None else resize_frame(image, self.engine.size_hw)

        raws = self.engine.stream(map(prepared, items), lambda work: work[2])
        with closing(raws):
            for (item, image, data), raw in raws:
                if image is None or data is None or raw is None:
                    yield item, None
                else:
                    steady = raw if smoother is None else smoother(data, raw)
                    yield item, self._segmentation(image, steady, confidence, self.abstain)

    def _segmentation(self, frame_bgr: np.ndarray, raw: np.ndarray, confidence: bool, abstain: float) -> Segmentation:
        engine, (height, width) = self.engine, frame_bgr.shape[:2]
        classes, known = decode_both(
            raw,
            engine.output,
            (height, width),
            confidence=confidence,
            abstain=abstain,
            void=self.classes.void,
            threads=engine.options.threads,
        )
        return Segmentation(frame_bgr, classes, self.classes, known)
