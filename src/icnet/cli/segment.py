"""`icnet segment`: pictures, folders, videos and cameras into class maps and overlays."""

from __future__ import annotations

import threading
from contextlib import closing, nullcontext
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icnet.base.spec import DEFAULT_MODEL
from icnet.cli.terminal import finite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from icnet.base.errors import InputError
    from icnet.media.jobs import Job
    from icnet.media.stats import Tally
    from icnet.runtime.segmenter import Segmenter


def segment(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures, videos, folders (recursive), quoted patterns such as 'drive/**/*.png', or a camera number.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results; created when missing.")],
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="A published model, a .safetensors weight file or an .xml OpenVINO model.")
    ] = DEFAULT_MODEL,
    classes_only: Annotated[
        bool, typer.Option("--classes-only", help="No overlays; a video becomes a folder STEM/ with one class map per frame.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, callback=finite, help="Stop a camera after this time; otherwise Ctrl-C stops it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report on stdout.")] = False,
) -> None:
    """Segment pictures, videos or a camera.

    A picture gives STEM.png, its class map (8-bit class indices, the picture's own size), and STEM_overlay.png. A video or
    camera gives STEM.mp4, the overlay as H.264 without sound. Folders below an INPUT folder are kept; inputs of equal names
    from different folders keep their folders too, those of one folder their suffix: a.jpg beside a.png gives a.jpg.png.

    An input that does not exist, or in which nothing is found, ends the command before any work (exit 2). A file that cannot
    be read is reported and left out (exit 1, or 2 if nothing could be read). A result that cannot be written ends the work
    (exit 1, or 2 if there is no result); the report still tells what was done.
    """
    from icnet.base.errors import OutputError, UsageError
    from icnet.cli.terminal import complain, emit, progress, say
    from icnet.media.jobs import plan
    from icnet.media.sources import expand
    from icnet.runtime.engine import EngineOptions
    from icnet.runtime.segmenter import Segmenter

    jobs = plan(expand(inputs, skip=output), output, classes_only=classes_only)
    cameras = any(job.source.kind == "camera" for job in jobs)
    if seconds is not None and not cameras:
        raise UsageError("--seconds ends a camera's recording, but no input is a camera: leave it out")
    if len(jobs) > 1 and seconds is None and cameras:
        raise UsageError("a camera beside other inputs would never end: say how long with --seconds, or give it alone")
    segmenter = Segmenter(model, EngineOptions(streams=1 if cameras else 2, cache=True))
    entries: list[dict[str, Any]] = []
    with progress() as bars:
        whole = bars.add_task("inputs", total=len(jobs), visible=len(jobs) > 1)
        try:
            for entry in _entries(segmenter, jobs, seconds, bars):
                entries.append(entry)
                bars.advance(whole)
        except OutputError as error:  # such as a full disk: the next input would fail in the same way
            complain(error)
            entries.append(_entry(jobs[len(entries)]) | {"error": str(error)})
            entries += [_entry(job) | {"error": "not tried after an output error"} for job in jobs[len(entries) :]]
    failed = sum("error" in entry for entry in entries)
    if as_json:
        emit({"model": segmenter.engine.name, "output": str(output), "inputs": entries})
    else:
        where = f"results in {output}" if failed < len(entries) else "no results"
        say(f"{len(entries) - failed} of {len(entries)} inputs segmented with {segmenter.engine.name}, {where}")
    if failed:
        raise typer.Exit(1 if failed < len(entries) else 2)


def _entry(job: Job) -> dict[str, Any]:
    return {"input": job.source.name, "kind": job.source.kind}


def _entries(segmenter: Segmenter, jobs: list[Job], seconds: float | None, bars: Progress) -> Iterator[dict[str, Any]]:
    """Process every input in order and describe it for the report; one that cannot be read is reported at once.

    Raises:
        OutputError: a result cannot be written.
    """
    from icnet.cli.terminal import complain
    from icnet.media.process import process_images

    for is_image, group in groupby(jobs, lambda job: job.source.kind == "image"):
        batch = list(group)
        clips = ((job, _clip(segmenter, job, seconds, bars)) for job in batch)
        with closing(process_images(segmenter, batch) if is_image else clips) as results:
            for job, result in results:
                if isinstance(result, Exception):
                    complain(result)
                    yield _entry(job) | {"error": str(result)}
                else:
                    yield _entry(job) | _described(job, result)


def _clip(segmenter: Segmenter, job: Job, seconds: float | None, bars: Progress) -> Tally | InputError:
    """Process a video or a camera."""
    from icnet.base.errors import InputError
    from icnet.cli.terminal import interrupt_sets
    from icnet.media.process import process_clip

    task = bars.add_task(job.source.name, total=None)
    stop = threading.Event()
    try:
        with interrupt_sets(stop) if job.source.kind == "camera" else nullcontext():
            return process_clip(
                segmenter,
                job,
                lambda tally, length: bars.update(task, completed=tally.frames, total=length),
                stop=stop,
                seconds=seconds,
            )
    except InputError as error:
        return error
    finally:
        bars.remove_task(task)


def _described(job: Job, tally: Tally) -> dict[str, Any]:
    assert tally.size_hw is not None, "a processed input has a frame"
    entry = {
        "outputs": [str(path) for path in job.outputs],
        "frames": tally.frames,
        "size": {"height": tally.size_hw[0], "width": tally.size_hw[1]},
        "shares": {name: round(share, 6) for name, share in tally.shares.items()},
        "ms": round(tally.frame_ms, 2),
    }
    return entry | ({"dropped": tally.dropped} if job.source.kind == "camera" else {})
