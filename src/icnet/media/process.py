"""One source through the segmenter into its files."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np

from icnet.base.errors import InputError
from icnet.media.ahead import ahead
from icnet.media.jobs import Job
from icnet.media.readers import Camera, Clip, Frame, Video, read_image
from icnet.media.sinks import video_sink, write_png
from icnet.media.stats import Tally
from icnet.runtime.segmenter import Segmentation, Segmenter

Advance = Callable[[Tally, int | None], None]
"""Called after each frame with the sums so far and the expected number of frames, None if unknown."""


def process(segmenter: Segmenter, job: Job, advance: Advance, *, stop: threading.Event, seconds: float | None = None) -> Tally:
    """Segment one source and write its outputs.

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
    if job.source.kind == "image":
        return _process_image(segmenter, job, advance)
    if job.source.kind == "video":
        # Decoding runs ahead; it must have ended before the file is closed under it.
        with Video(Path(job.source.name)) as video, closing(ahead(video)) as frames:
            return _process_clip(segmenter, job, video, frames, advance)
    with Camera(int(job.source.name), stop=stop, seconds=seconds) as camera:
        return _process_clip(segmenter, job, camera, iter(camera), advance)


def segment_timed(segmenter: Segmenter, image: np.ndarray, tally: Tally) -> Segmentation:
    """Segment a frame and count it in `tally`."""
    start = time.perf_counter()
    segmentation = segmenter(image)
    tally.add(segmentation, time.perf_counter() - start)
    return segmentation


def _process_image(segmenter: Segmenter, job: Job, advance: Advance) -> Tally:
    tally = Tally()
    segmentation = segment_timed(segmenter, read_image(Path(job.source.name)), tally)
    if job.overlay is not None:
        write_png(job.overlay, segmentation.overlay())
    if job.classes is not None:
        write_png(job.classes, segmentation.classes)
    advance(tally, 1)
    return tally


def _process_clip(segmenter: Segmenter, job: Job, clip: Clip, frames: Iterator[Frame], advance: Advance) -> Tally:
    tally = Tally()
    with video_sink(job.overlay, rate=clip.rate) if job.overlay else nullcontext() as video:
        for number, frame in enumerate(frames):
            segmentation = segment_timed(segmenter, frame.image, tally)
            if video is not None:
                video.write(segmentation.overlay(), frame.time_s)
            if job.classes is not None:
                write_png(job.classes / f"{number:06}.png", segmentation.classes)
            advance(tally, clip.length)
        if not tally.frames:  # inside the block, so that no empty video is written
            raise InputError(f"{job.source.kind} {job.source.name} gave no frame before it was stopped: let it run longer")
    return tally
