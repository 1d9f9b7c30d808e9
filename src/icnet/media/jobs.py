"""Which files each source will become, checked before any work so that nothing is ever overwritten by accident."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from icnet.base.errors import UsageError
from icnet.media.sources import Source

VIDEO_SUFFIX = ".mp4"


@dataclass(frozen=True)
class Job:
    """One source and its outputs."""

    source: Source
    classes: Path | None
    """Class map of a picture (.png), or the folder of a video's class maps."""
    overlay: Path | None
    """Overlay picture (.png) or overlay video (.mp4)."""

    @property
    def outputs(self) -> list[Path]:
        """What the job will write."""
        return [path for path in (self.classes, self.overlay) if path is not None]


def plan(sources: list[Source], output: Path, *, classes_only: bool = False) -> list[Job]:
    """Name the outputs: `<stem>.png` and `<stem>_overlay.png` of a picture, `<stem>.mp4` of a video.

    Folders below the argument that led to a source are kept. Where sources of different folders would then share a name, all
    sources keep their folders below the one that holds them all; where sources of one folder would, these keep their suffix:
    `a.jpg` beside `a.png` becomes `a.jpg.png` and `a.jpg_overlay.png`.

    Args:
        sources: from `icnet.media.sources.expand`.
        output: folder of the results.
        classes_only: no overlays; a video becomes the folder `<stem>` of one class map per frame.

    Raises:
        UsageError: two sources would still share an output, or an output would overwrite an input or mix with older class maps.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file, expected a folder for the results: choose another -o")
    jobs = _named(sources, output, classes_only)
    inputs = {os.path.realpath(source.name): source.name for source in sources if source.kind != "camera"}
    for path in (path for job in jobs for path in job.outputs):
        if (name := inputs.get(os.path.realpath(path))) is not None:
            raise UsageError(f"{path} would overwrite the input {name}: choose another folder with -o")
    for job in jobs:
        if job.source.kind != "image" and job.classes is not None and job.classes.is_dir() and any(job.classes.iterdir()):
            raise UsageError(
                f"the folder {job.classes} for the class maps of {job.source.name} is not empty: remove it, or choose another -o"
            )
    return jobs


def _named(sources: list[Source], output: Path, classes_only: bool) -> list[Job]:
    """Jobs that share no output, with the shortest names that allow it."""
    root: Path | None = None
    suffixed: set[Source] = set()
    while True:
        jobs = [_job(source, _stem(source, root or source.root, output, source in suffixed), classes_only) for source in sources]
        clashes = list(_clashes(jobs))
        if not clashes:
            return jobs
        if root is None and any(_folder(one) != _folder(other) for one, other, _ in clashes):
            root = _common_root(sources)
            continue
        clashing = {job.source for one, other, _ in clashes for job in (one, other)}
        if clashing <= suffixed:  # so every round adds a source, and the last one is reached
            one, other, path = clashes[0]
            raise UsageError(
                f"{one.source.name} and {other.source.name} would both write {path}: rename one, or segment them apart"
            )
        suffixed |= clashing


def _folder(job: Job) -> str:
    return os.path.dirname(os.path.abspath(job.source.name))


def _stem(source: Source, root: Path, output: Path, suffixed: bool) -> Path:
    """Path of the outputs without their suffix; that of the source stays if `suffixed`."""
    if source.kind == "camera":
        return _unused(output / f"camera{source.name}")
    relative = Path(os.path.relpath(os.path.abspath(source.name), os.path.abspath(root)))
    return output / (relative if suffixed else relative.with_name(relative.stem))


def _unused(stem: Path) -> Path:
    """`stem`, or `stem-2` and so on: a recording cannot be repeated, so an older one is kept."""
    candidate, number = stem, 1
    while candidate.exists() or _suffixed(candidate, VIDEO_SUFFIX).exists():
        number += 1
        candidate = stem.with_name(f"{stem.name}-{number}")
    return candidate


def _suffixed(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)  # with_suffix would cut "a.b" to "a"


def _job(source: Source, stem: Path, classes_only: bool) -> Job:
    if source.kind == "image":
        return Job(source, _suffixed(stem, ".png"), None if classes_only else _suffixed(stem, "_overlay.png"))
    return Job(source, stem if classes_only else None, None if classes_only else _suffixed(stem, VIDEO_SUFFIX))


def _common_root(sources: list[Source]) -> Path:
    roots = [os.path.abspath(source.root) for source in sources if source.kind != "camera"]
    try:
        return Path(os.path.commonpath(roots))
    except ValueError as error:
        raise UsageError("inputs on different drives have the same names: segment the drives one after the other") from error


def _clashes(jobs: list[Job]) -> Iterator[tuple[Job, Job, Path]]:
    """Every two jobs that would write the same file, or one into the folder of the other."""
    owners: dict[str, Job] = {}
    for job in jobs:
        for path in job.outputs:
            first = owners.setdefault(os.path.normcase(path), job)
            if first is not job:
                yield first, job, path
    for job in jobs:
        for path in job.outputs:
            for parent in path.parents:
                owner = owners.get(os.path.normcase(parent))
                if owner is not None:
                    yield owner, job, path
