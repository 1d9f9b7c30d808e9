"""Sources through the segmenter into their files, reading, segmenting, drawing and writing at the same time.

What waits between two threads is bounded, and its order is kept.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icnet.base.errors import InputError
from icnet.media.ahead import Newest, ahead
from icnet.media.jobs import Job
from icnet.media.readers import Camera, Frame, Video, read_image
from icnet.media.sinks import video_sink, write_png
from icnet.media.stats import Tally
from icnet.runtime.segmenter import Segmentation, Segmenter

Advance = Callable[[Tally, int | None], None]
"""Called after each frame with the sums so far and the expected number of frames, None if unknown."""

_DEPTH = 1
"""Items that may wait between two stages; more would only take memory."""


@dataclass(frozen=True, eq=False)
class _Picture:
    """A picture that was read, or why it could not be."""

    job: Job
    image: np.ndarray | None
    error: InputError | None = None

    @staticmethod
    def read(job: Job) -> "_Picture":
        try:
            return _Picture(job, read_image(Path(job.source.name)))
        except InputError as error:
            return _Picture(job, None, error)


def process_images(segmenter: Segmenter, jobs: Iterable[Job]) -> Generator[tuple[Job, Tally | InputError], None, None]:
    """Segment pictures and write their outputs, in the order of `jobs`. Close the iterator when leaving early.

    Args:
        segmenter: the model.
        jobs: what to read and what to write.

    Yields:
        Each job when its outputs are complete, with its sums, or with the reason why its picture cannot be read.

    Raises:
        OutputError: a result cannot be written; the jobs before are complete.
    """
    with ExitStack() as stack:
        pictures = stack.enter_context(closing(ahead(map(_Picture.read, jobs), _DEPTH)))
        segmented = stack.enter_context(closing(ahead(segmenter.stream(pictures, lambda picture: picture.image), _DEPTH)))
        start = time.perf_counter()
        for picture, segmentation in segmented:
            if picture.error is not None or segmentation is None:
                assert picture.error is not None, "a picture without error was segmented"
                yield picture.job, picture.error
                continue
            if picture.job.overlay is not None:
                write_png(picture.job.overlay, segmentation.overlay())
            if picture.job.classes is not None:
                write_png(picture.job.classes, segmentation.classes)
            end = time.perf_counter()
            tally = Tally()
            tally.add(segmentation, end - start)
            start = end
            yield picture.job, tally


def process_clip(
    segmenter: Segmenter, job: Job, advance: Advance, *, stop: threading.Event, seconds: float | None = None
) -> Tally:
    """Segment a video or a camera's recording and write its outputs.

    Of a video every frame is segmented. Of a camera it is always the newest one: frames that come while the machine is busy
    are dropped and counted, so that the picture is never late.

    Args:
        segmenter: the model.
        job: what to read and what to write.
        advance: reports progress.
        stop: set it to end a camera's recording.
        seconds: ends a camera's recording by itself.

    Returns:
        Shares and times of the frames.

    Raises:
        InputError: the source cannot be read to its end. Of a video nothing is left then but class maps written so far.
        OutputError: a result cannot be written.
    """
    tally = Tally()
    with ExitStack() as stack:
        newest: Newest[Frame] | None = None
        if job.source.kind == "video":
            clip: Video | Camera = stack.enter_context(Video(Path(job.source.name)))
            frames = stack.enter_context(closing(ahead(clip, _DEPTH)))
            segmented = stack.enter_context(closing(segmenter.stream(frames, lambda frame: frame.image)))
        else:
            clip = stack.enter_context(Camera(int(job.source.name), stop=stop, seconds=seconds))
            newest = stack.enter_context(Newest(clip))
            segmented = ((frame, segmenter(frame.image)) for frame in newest)
        drawn = stack.enter_context(closing(ahead(_drawn(segmented, wanted=job.overlay is not None), _DEPTH)))
        with video_sink(job.overlay, rate=clip.rate) if job.overlay else nullcontext() as video:
            start = time.perf_counter()
            for frame, segmentation, overlay in drawn:
                if video is not None and overlay is not None:
                    video.write(overlay, frame.time_s)
                if job.classes is not None:
                    write_png(job.classes / f"{tally.frames:06}.png", segmentation.classes)
                end = time.perf_counter()
                tally.add(segmentation, end - start)
                tally.dropped = newest.dropped if newest else 0
                start = end
                advance(tally, clip.length)
            if not tally.frames:  # inside the block, so that no empty video is written
                raise InputError(f"{job.source.kind} {job.source.name} gave no frame before it was stopped: let it run longer")
    return tally


def _drawn(
    segmented: Iterable[tuple[Frame, Segmentation | None]], *, wanted: bool
) -> Generator[tuple[Frame, Segmentation, np.ndarray | None], None, None]:
    """Each frame with its class map and, if `wanted`, its overlay."""
    for frame, segmentation in segmented:
        assert segmentation is not None, "every frame has a picture"
        yield frame, segmentation, segmentation.overlay() if wanted else None
