"""Sources through the segmenter into their files, reading, segmenting, drawing and writing at the same time.

What waits between two threads is bounded, and its order is kept.
"""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from icnet.base.errors import IcnetError, InputError, OutputError
from icnet.media.ahead import Newest, ahead
from icnet.media.clips import Clip, Frame
from icnet.media.connections import camera, stream
from icnet.media.jobs import Job
from icnet.media.live import Live
from icnet.media.outputs import Ids, clip_outputs, write_picture
from icnet.media.remote import read_picture
from icnet.media.sound import Sound
from icnet.media.stats import Tally
from icnet.media.table import Table
from icnet.media.video import STALL_SECONDS, Video
from icnet.pictures.limits import MAX_PIXELS
from icnet.results.forms import FormName, draw
from icnet.results.style import Style
from icnet.runtime.segmenter import Segmentation, Segmenter
from icnet.runtime.smooth import Smoother
from icnet.runtime.tiles import segment_tiled

T = TypeVar("T")

Advance = Callable[[Tally, int | None], None]
"""Called after each frame with the sums so far and the expected number of frames, None if unknown."""

_DEPTH = 1
"""Items that may wait between two stages; more would only take memory."""


@dataclass(frozen=True)
class ProcessOptions:
    """How sources are read, segmented and drawn."""

    style: Style
    max_pixels: int = MAX_PIXELS
    """Of a picture or frame; larger ones are refused before they take memory."""
    allow_url: bool = False
    """Open playlists and network addresses."""
    tile: bool = False
    """Segment in windows of the network's input size, at the picture's own resolution."""
    smooth: bool = False
    """Steady a clip's classes over time."""
    seconds: float | None = None
    """Ends the recording of a camera or live stream."""
    stall_seconds: float = STALL_SECONDS
    """A video that gives no frame for so long is given up."""
    notify: Callable[[str], None] = print
    """Takes lines about what happens to a camera or live stream."""


@dataclass(frozen=True, eq=False)
class _Picture:
    """A picture that was read, or why it could not be."""

    job: Job
    image: np.ndarray | None
    error: InputError | None = None

    @staticmethod
    def read(job: Job, max_pixels: int) -> "_Picture":
        try:
            return _Picture(job, read_picture(job.source, max_pixels=max_pixels))
        except InputError as error:
            return _Picture(job, None, error)


def process_images(
    segmenter: Segmenter, jobs: Iterable[Job], options: ProcessOptions, *, table: Table | None = None, ids: Ids | None = None
) -> Generator[tuple[Job, Tally | IcnetError], None, None]:
    """Segment pictures and write their outputs, in the order of `jobs`. Close the iterator when leaving early.

    `table` takes the class shares, `ids` are those of COCO documents.

    Yields:
        Each job when its outputs are complete, with its sums, or with the reason why its picture cannot be read or its results
        cannot be written.

    Raises:
        OutputError: no result can be written any more; the jobs before are complete.
    """
    jobs = list(jobs)
    confidence = any("confidence" in job.paths for job in jobs)
    with ExitStack() as stack:
        read = (_Picture.read(job, options.max_pixels) for job in jobs)
        pictures = stack.enter_context(closing(ahead(read, _DEPTH)))
        segmented = _segmented(segmenter, pictures, lambda picture: picture.image, options, confidence)
        ready = stack.enter_context(closing(ahead(segmented, _DEPTH)))
        start = time.perf_counter()
        for picture, segmentation in ready:
            if picture.error is not None:
                yield picture.job, picture.error
                continue
            assert segmentation is not None, "a picture without error was not segmented"
            try:
                write_picture(picture.job, segmentation, options.style, ids or {})
            except OutputError as error:
                if error.lasting:
                    raise
                yield picture.job, error
                continue
            if table is not None:
                table.add(picture.job.source.shown, 0, None, segmentation)
            end = time.perf_counter()
            tally = Tally()
            tally.add(segmentation, end - start)
            start = end
            yield picture.job, tally


def process_clip(
    segmenter: Segmenter,
    job: Job,
    options: ProcessOptions,
    *,
    advance: Advance,
    stop: threading.Event,
    table: Table | None = None,
    ids: Ids | None = None,
) -> Tally:
    """Segment a video or a camera's recording and write its outputs; the sums tell shares and times of the frames.

    Of a video every frame is segmented. Of a camera or live stream it is always the newest one: frames that come while the
    machine is busy are dropped and counted, so that the picture is never late.

    `advance` is told of progress; set `stop` to end the work, and what was written so far is complete then. `table` and `ids` are
    as for `process_images`.

    Raises:
        InputError: the source gives not one frame.
        OutputError: a result cannot be written.
    """
    tally = Tally()
    with ExitStack() as stack:
        clip = stack.enter_context(_open(job, options, stop))
        newest = stack.enter_context(Newest(clip, stop=stop)) if clip.live else None
        segmented = _segmented_clip(segmenter, clip, newest, job, options)
        drawn = _drawn(segmented, list(job.paths), options.style)
        frames = stack.enter_context(closing(ahead(drawn, _DEPTH)))
        sound = None if clip.live else stack.enter_context(_sound(job, options))
        # A video on a server is read as one, but the user may have taken it for a live picture.
        limit_s = options.seconds if job.source.kind == "stream" and newest is None and options.seconds else math.inf
        with clip_outputs(job, options.style, ids or {}, rate=clip.rate, sound=sound) as outputs:
            start = time.perf_counter()
            for frame, segmentation, pictures in frames:
                if frame.time_s >= limit_s:
                    outputs.cut()
                    break
                outputs.write(tally.frames, frame, segmentation, pictures)
                if table is not None:
                    table.add(job.source.shown, tally.frames, frame.time_s, segmentation)
                end = time.perf_counter()
                tally.add(segmentation, end - start)
                start = end
                advance(tally, clip.length)
                if stop.is_set() and newest is None:
                    tally.cut = True
                    outputs.cut()
                    break
            else:
                tally.warning = clip.shortfall
            if not tally.frames:  # inside the block, so that no empty video is written
                raise InputError(f"{job.source.kind} {job.source.shown} gave no frame before it was stopped: let it run longer")
        tally.dropped = newest.dropped if newest else 0
        tally.drops, tally.damaged = clip.drops, clip.damaged
        tally.damaged_sound = sound.damaged if sound else 0
    return tally


def _open(job: Job, options: ProcessOptions, stop: threading.Event) -> Clip:
    source = job.source
    if source.kind != "video":
        if source.kind == "camera":
            connect, name = camera(int(source.name) if source.name.isdecimal() else source.name), f"camera {source.name}"
        else:
            connect, name = stream(source.name, max_pixels=options.max_pixels), source.shown
        live = Live(connect, name, stop=stop, seconds=options.seconds, notify=options.notify)
        if not live.finite:
            return live
        live.__exit__()  # a file that lies on a server is read like one that lies here
    return Video(
        source.name,
        title=source.shown,
        allow_url=options.allow_url,
        max_pixels=options.max_pixels,
        stall_seconds=options.stall_seconds,
    )


def _sound(job: Job, options: ProcessOptions) -> Sound:
    return Sound(job.source.name, title=job.source.shown, allow_url=options.allow_url)


def _segmented_clip(
    segmenter: Segmenter, clip: Clip, newest: Newest[Frame] | None, job: Job, options: ProcessOptions
) -> Generator[tuple[Frame, Segmentation | None], None, None]:
    """Each frame with its classes: of a live clip the newest as soon as it is there, else one after another without a gap."""
    confidence = "confidence" in job.paths
    smoother = Smoother() if options.smooth else None
    if newest is None:
        with closing(ahead(clip, _DEPTH)) as frames:
            segmented = _segmented(segmenter, frames, lambda frame: frame.image, options, confidence, smoother)
            with closing(segmented):
                yield from segmented
        return
    for frame in newest:
        if options.tile:
            yield frame, segment_tiled(segmenter, frame.image, confidence=confidence)
        else:
            yield frame, segmenter(frame.image, confidence=confidence, smoother=smoother)


def _segmented(
    segmenter: Segmenter,
    items: Iterable[T],
    image: Callable[[T], np.ndarray | None],
    options: ProcessOptions,
    confidence: bool,
    smoother: Smoother | None = None,
) -> Generator[tuple[T, Segmentation | None], None, None]:
    """Each item with the classes of its picture, if it has one."""
    if not options.tile:
        yield from segmenter.stream(items, image, confidence=confidence, smoother=smoother)
        return
    for item in items:
        picture = image(item)
        yield item, None if picture is None else segment_tiled(segmenter, picture, confidence=confidence)


def _drawn(
    segmented: Generator[tuple[Frame, Segmentation | None], None, None], forms: list[FormName], style: Style
) -> Generator[tuple[Frame, Segmentation, dict[FormName, np.ndarray]], None, None]:
    """Each frame with its class map and the pictures that are made of it."""
    with closing(segmented):
        for frame, segmentation in segmented:
            assert segmentation is not None, "every frame has a picture"
            yield frame, segmentation, draw(segmentation, forms, style)
