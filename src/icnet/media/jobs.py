"""Which files each source will become, checked before any work so that nothing is ever overwritten by accident."""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from icnet.base.errors import UsageError
from icnet.media.sources import IMAGE_SUFFIXES, Source
from icnet.results.forms import FORMS, RUN_STEM, FormName

_USUAL: tuple[FormName, ...] = ("classes", "overlay")
"""Of a picture; a video has no class maps unless they are asked for."""


@dataclass(frozen=True)
class Job:
    """One source and its outputs."""

    source: Source
    paths: dict[FormName, Path]
    """The file of each result; of a video, class maps and the like are a folder."""
    stem: PurePath
    """What the results have in common, below the folder of all results."""

    def frame_name(self, index: int) -> str:
        """A picture's path below the input, or what a frame of a video would be called."""
        if self.source.kind != "image":
            return (self.stem / f"{index:06}.png").as_posix()
        return (self.stem if self.source.remote else self.stem.with_name(Path(self.source.name).name)).as_posix()

    @property
    def outputs(self) -> list[Path]:
        """What the job will write."""
        return list(self.paths.values())

    @property
    def claims(self) -> list[Path]:
        """All names that the job uses, also those of a video while it is written."""
        return self.outputs + ([] if self.source.kind == "image" else [partial_name(path) for path in self.outputs])

    @property
    def folders(self) -> list[Path]:
        """Those of the outputs that are folders."""
        return [path for form, path in self.paths.items() if self.source.kind != "image" and "." not in FORMS[form].of_clip]


def partial_name(path: Path) -> Path:
    """Where a result of a video lies while it is written, to be found and played if the process dies."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def plan(sources: list[Source], output: Path, *, forms: Sequence[FormName] = (), replaced: Collection[str] = ()) -> list[Job]:
    """Name the outputs: `<stem>.png` and `<stem>_overlay.png` of a picture, `<stem>.mp4` of a video, and so on.

    Folders below the argument that led to a source are kept. Where sources of different folders would then share a name, all
    sources keep their folders below the one that holds them all; where sources of one folder would, these keep their suffix:
    `a.jpg` beside `a.png` becomes `a.jpg.png` and `a.jpg_overlay.png`.

    Args:
        sources: from `icnet.media.sources.expand`.
        output: folder of the results.
        forms: what to write; class map and overlay of a picture and the overlay of a video if none is given.
        replaced: results of an earlier run that is resumed; such folders may be there.

    Raises:
        UsageError: two sources would still share an output, or an output would overwrite an input or mix with older class maps.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file, expected a folder for the results: choose another -o")
    jobs = _named(sources, output, forms)
    inputs = {os.path.realpath(source.name): source.name for source in sources if source.is_file}
    for path in (path for job in jobs for path in job.claims):
        if (name := inputs.get(os.path.realpath(path))) is not None:
            raise UsageError(f"{path} would overwrite the input {name}: choose another folder with -o")
    for folder in (folder for job in jobs for folder in job.folders):
        if not (_is_empty(folder) or (str(folder) in replaced and _holds_frames_only(folder))):
            raise UsageError(f"the folder {folder} for the pictures of a video is not empty: remove it, or choose another -o")
        if not _holds_frames_only(partial := partial_name(folder)):
            raise UsageError(f"{partial} holds something else than the pictures of a video: rename it, or choose another -o")
    return jobs


def _is_empty(folder: Path) -> bool:
    return not folder.is_dir() or not any(folder.iterdir())


def _holds_frames_only(folder: Path) -> bool:
    """Whether nothing would be lost but what a run wrote, or nothing is there."""
    return not folder.is_dir() or all(re.fullmatch(r"\d{6,}\.png", path.name) for path in folder.iterdir())


def _named(sources: list[Source], output: Path, forms: Sequence[FormName]) -> list[Job]:
    """Jobs that share no output, with the shortest names that allow it."""
    root: Path | None = None
    shared = any(FORMS[form].of_run for form in forms)
    suffixed = {source for source in sources if shared and Path(source.name).stem == RUN_STEM}
    while True:
        jobs: list[Job] = []
        for source in sources:
            stem = _stem(source, root or source.root, output, source in suffixed)
            stem = stem if source.is_file else _unused(stem, jobs, source)
            jobs.append(_job(source, stem, output, forms))
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
                f"{one.source.shown} and {other.source.shown} would both write {path}: rename one, or segment them apart"
            )
        suffixed |= clashing


def _folder(job: Job) -> str:
    return os.path.dirname(os.path.abspath(job.source.name))


def _stem(source: Source, root: Path, output: Path, suffixed: bool) -> Path:
    """Path of the outputs without their suffix; that of the source stays if `suffixed`."""
    if source.kind == "camera":
        return output / f"camera{source.name if source.name.isdecimal() else '-' + Path(source.name).name}"
    if source.remote:
        stem = _stream_stem(source.shown)
        return output / (os.path.splitext(stem)[0] if stem.lower().endswith(tuple(IMAGE_SUFFIXES)) and source.fetched else stem)
    relative = Path(os.path.relpath(os.path.abspath(source.name), os.path.abspath(root)))
    return output / (relative if suffixed else relative.with_name(relative.stem))


def _stream_stem(address: str) -> str:
    """A file name that reminds of a network address: its host and path."""
    parts = urlsplit(address)
    return re.sub(r"[^A-Za-z0-9.-]+", "-", f"{parts.hostname or 'stream'}{parts.path}").strip("-.")[:80]


def _unused(stem: Path, jobs: Sequence[Job], source: Source) -> Path:
    """`stem`, or `stem-2` and so on: a recording cannot be repeated, so an older one is kept, finished or not."""
    taken = {path for job in jobs for path in job.outputs}
    candidate, number = stem, 1
    while any(path in taken or (source.is_live and _is_there(path)) for path in _every_name(candidate)):
        number += 1
        candidate = stem.with_name(f"{stem.name}-{number}")
    return candidate


def _every_name(stem: Path) -> list[Path]:
    return [_suffixed(stem, ending) for form in FORMS.values() for ending in (form.of_clip, form.of_picture)]


def _is_there(path: Path) -> bool:
    return path.exists() or partial_name(path).exists()


def _suffixed(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)  # with_suffix would cut "a.b" to "a"


def _job(source: Source, stem: Path, output: Path, forms: Sequence[FormName]) -> Job:
    of_picture = source.kind == "image"
    usual = _USUAL if of_picture else _USUAL[1:]
    endings = {name: form.of_picture if of_picture else form.of_clip for name, form in FORMS.items()}
    return Job(source, {form: _suffixed(stem, endings[form]) for form in forms or usual}, stem.relative_to(output))


def _common_root(sources: list[Source]) -> Path:
    roots = [os.path.abspath(source.root) for source in sources if source.is_file]
    try:
        return Path(os.path.commonpath(roots))
    except ValueError as error:
        raise UsageError("inputs on different drives have the same names: segment the drives one after the other") from error


def _clashes(jobs: list[Job]) -> Iterator[tuple[Job, Job, Path]]:
    """Every two jobs that would write the same file, or one into the folder of the other."""
    owners: dict[str, Job] = {}
    for job in jobs:
        for path in job.claims:
            first = owners.setdefault(os.path.normcase(path), job)
            if first is not job:
                yield first, job, path
    for job in jobs:
        for path in job.claims:
            for parent in path.parents:
                owner = owners.get(os.path.normcase(parent))
                if owner is not None:
                    yield owner, job, path
