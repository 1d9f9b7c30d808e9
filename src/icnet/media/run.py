"""All inputs of a run, one after another, each with an entry in the report."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from icnet.base.errors import IcnetError, InputError, OutputError
from icnet.base.files import remove_temporaries, sole_owner, sole_writer
from icnet.media.jobs import Job
from icnet.media.outputs import Ids, ids_after, write_run_documents
from icnet.media.process import Advance, ProcessOptions, process_clip, process_images
from icnet.media.report import Entry, Report
from icnet.media.sheet import write_sheets
from icnet.media.stats import Tally
from icnet.media.table import Table, count_rows, has_rows
from icnet.results.zones import Zones
from icnet.runtime.segmenter import Segmenter


@dataclass(frozen=True)
class BatchOptions:
    """What a run writes beside the results of each input."""

    folder: Path
    """Takes the report and the contact sheets."""
    settings: str = ""
    """Identifies what the results depend on; a run is resumed only with the same."""
    resume: bool = False
    """Pass over what an earlier run has done."""
    stats: Path | None = None
    """Table of the class shares."""
    zones: Zones | None = None
    """Parts of the image with rows of their own in that table."""
    contact_sheet: bool = False
    """Show all pictures on a page."""


def run_batch(
    segmenter: Segmenter,
    jobs: list[Job],
    options: ProcessOptions,
    batch: BatchOptions,
    *,
    stop: threading.Event,
    begin: Callable[[Job], Advance],
) -> Generator[Entry, None, None]:
    """Segment every input in order, and yield its entry when its outputs are complete. Close the iterator when leaving early.

    Set `stop` to end the work after the present picture or frame. `begin` is called before each clip, and gives what reports its
    progress.

    Raises:
        OutputError: no result can be written any more, as on a full disk.
        UsageError: another process writes in the folder or table, or the earlier run that is to be resumed had other settings.
    """
    rows = count_rows(batch.stats) if batch.stats is not None and batch.resume else None
    zones = 0 if batch.zones is None else len(batch.zones.names)

    def has_its_rows(entry: Entry) -> bool:
        return rows is None or has_rows(rows, entry["input"], entry["frames"] * (1 + zones))

    finished: list[Job] = []
    with ExitStack() as stack:
        stack.enter_context(sole_writer(batch.folder, ()))
        if batch.stats is not None:
            stack.enter_context(sole_owner(batch.stats))
        report = stack.enter_context(Report(batch.folder, batch.settings, jobs, resume=batch.resume, holds=has_its_rows))
        ids = ids_after(path for entry in report.kept for path in entry.get("outputs", ()))
        remove_temporaries(path for job in jobs for path in job.outputs)
        table = None
        if batch.stats is not None:
            keep = {entry["input"] for entry in report.kept}
            table = stack.enter_context(Table(batch.stats, segmenter.classes, options.style.only, batch.zones, keep=keep))
        for is_image, group in groupby(jobs, lambda job: job.source.kind == "image"):
            part = list(group)
            todo = [job for job in part if job.source.shown not in report.done]
            if is_image:
                results = process_images(segmenter, todo, options, table=table, ids=ids)
            else:
                results = _clips(segmenter, todo, options, ids, stop=stop, table=table, begin=begin)
            with closing(results):
                for job, entry in _entries(part, results, report, table, stop):
                    if "error" not in entry:
                        finished.append(job)
                    yield entry
        write_run_documents(batch.folder, finished, options.style)
        pictures = [job for job in finished if job.source.kind == "image"]
        if batch.contact_sheet and pictures and not stop.is_set():
            write_sheets(batch.folder, pictures, options.style, max_pixels=options.max_pixels)


def describe(job: Job) -> Entry:
    """The beginning of every entry."""
    return {"input": job.source.shown, "kind": job.source.kind}


def _entries(
    jobs: list[Job], results: Iterator[tuple[Job, Tally | IcnetError]], report: Report, table: Table | None, stop: threading.Event
) -> Iterator[tuple[Job, Entry]]:
    for job in jobs:
        if (earlier := report.done.get(job.source.shown)) is not None:
            yield job, earlier
            continue
        if stop.is_set():
            return
        done = next(results, None)
        if done is None:
            return
        assert done[0] is job, "results keep the order of the jobs"
        entry = describe(job) | _outcome(job, done[1])
        if table is not None:
            table.flush()
        report.add(entry)
        yield job, entry


def _clips(
    segmenter: Segmenter,
    jobs: list[Job],
    options: ProcessOptions,
    ids: Ids,
    *,
    stop: threading.Event,
    table: Table | None,
    begin: Callable[[Job], Advance],
) -> Generator[tuple[Job, Tally | IcnetError], None, None]:
    for job in jobs:
        try:
            yield job, process_clip(segmenter, job, options, advance=begin(job), stop=stop, table=table, ids=ids)
        except InputError as error:
            yield job, error
        except OutputError as error:
            if error.lasting:
                raise
            yield job, error


def _outcome(job: Job, result: Tally | IcnetError) -> Entry:
    if not isinstance(result, Tally):
        return {"error": str(result)}
    assert result.size_hw is not None, "a processed input has a frame"
    entry: Entry = {
        "outputs": [str(path) for path in job.outputs],
        "frames": result.frames,
        "size": {"height": result.size_hw[0], "width": result.size_hw[1]},
        "shares": {name: round(share, 6) for name, share in result.shares.items()},
        "ms": round(result.frame_ms, 2),
    }
    if job.source.is_live:
        entry |= {"dropped": result.dropped, "drops": result.drops}
    entry |= {name: count for name, count in (("damaged", result.damaged), ("damaged_sound", result.damaged_sound)) if count}
    if result.warning is not None:
        entry["warning"] = result.warning
    if result.cut:
        entry["interrupted"] = True
    return entry
