"""`icnet segment`: pictures, folders, videos and cameras into class maps, overlays, polygons and numbers."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icnet import __version__
from icnet.cli.terminal import complain, emit, finite, interrupt_sets, plain, progress, say
from icnet.network.spec import DEFAULT_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from icnet.media.jobs import Job
    from icnet.media.process import Advance, ProcessOptions
    from icnet.media.run import BatchOptions
    from icnet.results.forms import FormName
    from icnet.results.style import Style
    from icnet.runtime.segmenter import Segmenter

_NAMED = 5
"""Files that are not read and are named."""

_WRITTEN = "classes, palette, colour, overlay, confidence, geojson, coco, rle"


def segment(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Pictures, videos, folders (recursive), quoted patterns such as 'drive/**/*.png', a camera, an address, or -.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the results, created when missing; or -.")
    ],
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="A published model, a .safetensors or .xml file, or hf://USER/NAME.")
    ] = DEFAULT_MODEL,
    write: Annotated[
        str | None, typer.Option(metavar="FORM,...", help=f"What to write, instead of classes and overlay: {_WRITTEN}.")
    ] = None,
    classes_only: Annotated[bool, typer.Option("--classes-only", help="The same as --write classes.")] = False,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS,...",
            help="Show only these classes, such as Road,Pavement; in class maps all others become Unlabeled, or 255 without "
            "such a class.",
        ),
    ] = None,
    palette: Annotated[
        Path | None, typer.Option(metavar="FILE", help='Other colours: a JSON object such as {"Road": "#804080"}.')
    ] = None,
    min_area: Annotated[
        int, typer.Option(min=0, metavar="PIXELS", help="Smaller regions become no polygon and no run-length mask.")
    ] = 0,
    stats: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table of the class shares of every frame, .csv or .parquet.")
    ] = None,
    zones: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Named polygons for --stats: a JSON object of names with [[x, y], ...] in pixels."),
    ] = None,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Also write contact-sheet.jpg, all pictures small on one page.")
    ] = False,
    smooth: Annotated[bool, typer.Option("--smooth", help="Steady the classes of a video or camera over time.")] = False,
    tile: Annotated[
        bool, typer.Option("--tile", help="Segment large pictures in overlapping windows, at their own resolution.")
    ] = False,
    abstain: Annotated[
        float, typer.Option(min=0, max=1, callback=finite, help="Pixels less sure than this, from 0 to 1, become Unlabeled.")
    ] = 0,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, callback=finite, help="Pictures and frames with more are refused unread.")
    ] = 64,
    allow_url: Annotated[
        bool,
        typer.Option("--allow-url", help="Open addresses (rtsp, http, rtmp, srt, udp), and playlists, which may name any."),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.1, max=1e8, callback=finite, help="Stop a camera after this time; otherwise Ctrl-C stops it."),
    ] = None,
    stall_seconds: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="Give a video up that yields no frame for so long.")
    ] = 10,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an earlier run with these options ended; what is done stays.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of the network; all cores if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON report on stdout.")] = False,
) -> None:
    """Segment pictures, videos or a camera.

    A picture gives STEM.png, its class map (8-bit class indices, the picture's own size), and STEM_overlay.png. A video or
    camera gives STEM.mp4, the overlay as H.264 with the sound of the video. Folders below an INPUT folder are kept; inputs of
    equal names from different folders keep their folders too, those of one folder their suffix: a.jpg beside a.png becomes
    a.jpg.png.

    As an INPUT, - is a picture or video in standard input. With -o - one form of one input goes to standard output (a class map
    unless --write names another), or the report with --write jsonl; --stats - prints the table as CSV.

    DIR/report.jsonl tells what became of each input, one JSON object per line. Ctrl-C or SIGTERM ends after the present picture
    or frame, with all results complete up to there; --resume goes on.

    An input that does not exist, or in which nothing is found, ends the command before any work (exit 2). A file that cannot
    be read, or whose results cannot be written, is reported and left out (exit 1, or 2 if there is no result at all). A disk
    that is full ends the work in the same way. Exit 130 or 143: interrupted.
    """
    from icnet.base.errors import UsageError
    from icnet.cli.standard import streams
    from icnet.media.jobs import plan
    from icnet.media.process import ProcessOptions
    from icnet.media.remote import told_apart
    from icnet.media.report import earlier_entries, written
    from icnet.media.run import BatchOptions
    from icnet.media.sources import expand
    from icnet.media.table import check_name
    from icnet.results.style import read_style
    from icnet.results.zones import read_zones
    from icnet.runtime.engine import EngineOptions
    from icnet.runtime.segmenter import Segmenter

    if classes_only and write is not None:
        raise UsageError("--classes-only means --write classes: give one of them")
    if zones is not None and stats is None:
        raise UsageError("--zones are the rows of a table: name it with --stats")
    write = "classes" if classes_only else write
    with streams(inputs, output, stats, write, alone=as_json or resume or contact_sheet) as std:
        if std.stats is not None:
            check_name(std.stats)
        output, stats = std.output, std.stats
        forms = () if std.is_report else _forms(std.write)
        regions = None if zones is None else read_zones(zones)
        unread: list[str] = []
        found = expand(std.inputs, skip=output, written=written(output), allow_url=allow_url, pass_over=unread.append)
        sources = std.named(told_apart(found))
        earlier = {path for entry in earlier_entries(output) for path in entry.get("outputs", [])} if resume else set()
        jobs = std.checked(plan(sources, output, forms=forms, replaced=earlier))
        _check(jobs, seconds=seconds, smooth=smooth, tile=tile, contact_sheet=contact_sheet)
        live = any(job.source.is_live for job in jobs)
        segmenter = Segmenter(model, EngineOptions(threads=threads, streams=1 if live else 2, cache=True), abstain=abstain)
        if segmenter.engine.output == "index" and (smooth or tile or "confidence" in forms):
            raise UsageError(
                "this model gives class indices only: --smooth, --tile and confidence need one with soft or logits output"
            )
        options = ProcessOptions(
            style=read_style(segmenter.classes, only, palette, min_area),
            max_pixels=round(max_megapixels * 1e6),
            allow_url=allow_url,
            tile=tile,
            smooth=smooth,
            seconds=seconds,
            stall_seconds=stall_seconds,
            notify=complain,
        )
        batch = BatchOptions(
            folder=output,
            settings=_digest(
                model, forms, options.style, tile, smooth, stats, zones and zones.read_text(encoding="utf-8-sig"), abstain
            ),
            resume=resume,
            stats=stats,
            zones=regions,
            contact_sheet=contact_sheet,
        )
        outcome = _run(segmenter, jobs, options, batch, std.tell)
        std.finish(jobs)
        _finish(outcome, segmenter.engine.name, "standard output" if std.is_output else str(output), unread, as_json=as_json)


@dataclass(frozen=True)
class _Outcome:
    """What became of a run."""

    entries: list[dict[str, Any]]
    undone: int
    """Inputs that were not reached."""
    broken: bool
    """Whether a result could not be written."""
    signal: int | None
    """That ended it."""


def _forms(names: str | None) -> tuple[FormName, ...]:
    """The forms that `--write` names, in the order of their definition; none if it is not given."""
    from icnet.base.errors import UsageError
    from icnet.results.forms import FORMS

    if names is None:
        return ()
    wanted = [{"color": "colour"}.get(name.strip(), name.strip()) for name in names.split(",")]
    for name in wanted:
        if name not in FORMS:
            raise UsageError(f"--write knows no {name or 'empty name'}: choose among {', '.join(FORMS)}")
    return tuple(form for form in FORMS if form in wanted)


def _check(jobs: list[Job], *, seconds: float | None, smooth: bool, tile: bool, contact_sheet: bool) -> None:
    """Refuse options that do not fit the inputs."""
    from icnet.base.errors import UsageError

    live = any(job.source.is_live for job in jobs)
    pictures = [job for job in jobs if job.source.kind == "image"]
    if seconds is not None and not live:
        raise UsageError("--seconds ends a camera's recording, but no input is a camera: leave it out")
    if len(jobs) > 1 and seconds is None and live:
        raise UsageError("a camera beside other inputs would never end: say how long with --seconds, or give it alone")
    if smooth and len(pictures) == len(jobs):
        raise UsageError("--smooth steadies videos and cameras, but all inputs are pictures: leave it out")
    if smooth and tile:
        raise UsageError("--smooth and --tile do not go together: leave one out")
    if contact_sheet and not pictures:
        raise UsageError("--contact-sheet shows pictures, but no input is one: leave it out")
    if contact_sheet and not any({"classes", "overlay"} & job.paths.keys() for job in pictures):
        raise UsageError("--contact-sheet is made of overlays or class maps: add one of them to --write")


def _digest(model: str, forms: tuple[FormName, ...], style: Style, *others: object) -> str:
    """A short text that changes with anything that the results depend on."""
    from icnet.media.report import stamp

    path = os.path.realpath(model) if os.path.exists(model) else model
    named = [__version__, path, stamp(path), forms, style.only, style.palette_rgb.tolist(), style.min_area, *others]
    return hashlib.sha256(json.dumps(named, default=str).encode()).hexdigest()[:12]


def _run(
    segmenter: Segmenter,
    jobs: list[Job],
    options: ProcessOptions,
    batch: BatchOptions,
    tell: Callable[[dict[str, Any]], None],
) -> _Outcome:
    """Process every input, with bars on stderr; what cannot be read is reported at once. `tell` takes each entry."""
    from icnet.base.errors import OutputError
    from icnet.media.run import describe, run_batch

    entries: list[dict[str, Any]] = []
    stop, broken = threading.Event(), False
    with progress() as bars, interrupt_sets(stop) as signals:
        whole = bars.add_task("inputs", total=len(jobs), visible=len(jobs) > 1)
        results = run_batch(segmenter, jobs, options, batch, stop=stop, begin=lambda job: _bar(bars, job))
        try:
            with closing(results):
                for entry in results:
                    entries.append(entry)
                    tell(entry)
                    if "error" in entry:
                        complain(entry["error"])
                    elif "warning" in entry:
                        complain(f"{entry['input']}: {entry['warning']}")
                    bars.advance(whole)
        except OutputError as error:  # such as a full disk: the next input would fail in the same way
            complain(error)
            broken = True
            untried = jobs[len(entries) :]
            entries += [describe(job) | {"error": str(error)} for job in untried[:1]]
            entries += [describe(job) | {"error": "not tried after an output error"} for job in untried[1:]]
    return _Outcome(entries, len(jobs) - len(entries), broken, signals[0] if signals else None)


def _bar(bars: Progress, job: Job) -> Advance:
    """A bar for the frames of a clip, which goes when the next one comes."""
    for earlier in bars.tasks[1:]:
        bars.remove_task(earlier.id)
    task = bars.add_task(plain(job.source.shown), total=None)
    return lambda tally, length: bars.update(task, completed=tally.frames, total=length)


def _unread(names: list[str]) -> str:
    """How many files were not read, of which kinds, and some of their names."""
    from icnet.media.sources import HEIC_SUFFIXES

    kinds = Counter(os.path.splitext(name)[1].lower() or "without suffix" for name in names)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    advice = "; for HEIC, pip install 'icnet[heic]'" if HEIC_SUFFIXES & kinds.keys() else ""
    return f"not read, because no pictures or videos of known kinds: {counts} ({', '.join(names[:_NAMED])}{more}){advice}"


def _finish(outcome: _Outcome, name: str, output: str, unread: list[str], *, as_json: bool) -> None:
    """Tell what was done and leave with the right code."""
    entries = outcome.entries
    good = sum("error" not in entry for entry in entries)
    cut = outcome.signal is not None and (outcome.undone > 0 or any(entry.get("interrupted") for entry in entries))
    if as_json:
        more = ({"unread": unread} if unread else {}) | ({"interrupted": True} if cut else {})
        emit({"model": name, "output": output, "inputs": entries} | more)
    else:
        where = f"results in {output}" if good else "no results"
        say(f"{good} of {len(entries) + outcome.undone} inputs segmented with {name}, {where}")
        if unread:
            say(_unread(unread))
        for entry in entries:
            if entry.get("interrupted"):
                say(f"{entry['input']}: interrupted after {entry['frames']} frames; --resume begins it again")
        if cut:
            say("interrupted: the same command with --resume goes on")
    if cut and outcome.signal is not None:
        raise typer.Exit(128 + outcome.signal)
    if outcome.broken or good < len(entries):
        raise typer.Exit(1 if good else 2)
