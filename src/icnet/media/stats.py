"""Sums over the frames of a run."""

from dataclasses import dataclass, field

from icnet.runtime.segmenter import Segmentation


@dataclass
class Tally:
    """Counts frames, time and class shares."""

    frames: int = 0
    seconds: float = 0.0
    """Time that the frames took; where stages overlap, from one result to the next."""
    dropped: int = 0
    """Frames of a camera that came while the machine was busy with another."""
    drops: int = 0
    """Times that a camera or stream broke off and was opened again."""
    damaged: int = 0
    """Pieces of a video that could not be decoded."""
    damaged_sound: int = 0
    """Pieces of its sound that were left out."""
    warning: str | None = None
    """What is missing of a video that was read to its end."""
    cut: bool = False
    """Whether a video was left before its end."""
    size_hw: tuple[int, int] | None = None
    """Of the first frame."""
    _shares: dict[str, float] = field(default_factory=dict)

    def add(self, segmentation: Segmentation, seconds: float) -> None:
        """Count one frame that took `seconds`."""
        height, width = segmentation.classes.shape
        self.size_hw = self.size_hw or (height, width)
        self.frames += 1
        self.seconds += seconds
        for name, share in segmentation.shares().items():
            self._shares[name] = self._shares.get(name, 0.0) + share

    @property
    def shares(self) -> dict[str, float]:
        """Class name to its mean fraction of the pixels; they sum to 1. None before there is a frame."""
        return {name: share / max(self.frames, 1) for name, share in self._shares.items()}

    @property
    def frame_ms(self) -> float:
        """Mean time per frame."""
        return 1000 * self.seconds / max(self.frames, 1)

    @property
    def frames_per_second(self) -> float:
        """The same as a rate."""
        return self.frames / self.seconds if self.seconds else 0.0
