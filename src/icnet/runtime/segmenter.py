"""A frame in, a class map of the frame's own size out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icnet.base.classes import NAMES
from icnet.base.spec import DEFAULT_MODEL
from icnet.runtime.decode import decode
from icnet.runtime.engine import Engine
from icnet.runtime.overlay import OPACITY, draw_overlay
from icnet.runtime.preprocess import resize_frame


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One segmented frame."""

    frame: np.ndarray
    """(H, W, 3) uint8 BGR, as given."""
    classes: np.ndarray
    """(H, W) uint8 class indices, the position in `icnet.base.classes.NAMES`."""

    def shares(self) -> dict[str, float]:
        """Class name to its fraction of the pixels, all twelve classes; they sum to 1."""
        counts = np.bincount(self.classes.ravel(), minlength=len(NAMES))
        return {name: int(count) / self.classes.size for name, count in zip(NAMES, counts, strict=True)}

    def overlay(self, *, opacity: float = OPACITY, legend: bool = True) -> np.ndarray:
        """The frame with the class colours blended over it.

        Args:
            opacity: 0 shows only the frame, 1 only the colours.
            legend: name the classes that are present, in a corner.

        Returns:
            (H, W, 3) uint8 BGR.
        """
        return draw_overlay(self.frame, self.classes, opacity=opacity, legend=legend)


class Segmenter:
    """Segments road scenes: `Segmenter()(frame_bgr).classes`.

    Calls keep nothing from one frame to the next; calls from several threads wait for each other.
    """

    def __init__(self, model: str | Path = DEFAULT_MODEL, *, threads: int | None = None) -> None:
        """Load a model; see `icnet.runtime.engine.Engine` for the arguments and errors."""
        self.engine = Engine(model, threads=threads)

    def __call__(self, frame_bgr: np.ndarray) -> Segmentation:
        """Segment one frame.

        Args:
            frame_bgr: (H, W, 3) uint8 BGR of any size, as `cv2.imread` gives it.

        Returns:
            The class map at the frame's own size.

        Raises:
            InputError: not such an array.
        """
        raw = self.engine.infer(resize_frame(frame_bgr, self.engine.size_hw))
        height, width = frame_bgr.shape[:2]
        return Segmentation(frame_bgr, decode(raw, self.engine.output, (height, width)))
