"""The results of one source, in every form that is wanted."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np

from icnet.base.files import cannot_write
from icnet.media.clips import Frame
from icnet.media.jobs import Job, partial_name
from icnet.media.sinks import VideoWriter, video_sink
from icnet.media.sound import Sound
from icnet.results.documents import CocoIds, CocoWriter, FrameInfo, last_ids
from icnet.results.forms import FORMS, Document, FormName, document_writer, draw
from icnet.results.png import write_png
from icnet.results.style import Style
from icnet.runtime.segmenter import Segmentation

Ids = Mapping[FormName, CocoIds]
"""Where the documents of each form have got to."""


def ids_after(outputs: Iterable[str]) -> Ids:
    """Where the documents among the results of earlier runs have got to.

    Raises:
        UsageError: one was changed.
    """
    paths = [Path(path) for path in outputs]
    of_runs = [(name, form) for name, form in FORMS.items() if form.of_run is not None]
    return {name: last_ids(path for path in paths if path.name.endswith(form.of_picture)) for name, form in of_runs}


def write_run_documents(folder: Path, jobs: Sequence[Job], style: Style) -> None:
    """Put the COCO documents of finished jobs together, one for each form.

    Raises:
        OutputError: it cannot be written.
        UsageError: a document was changed.
    """
    for name in jobs[0].paths if jobs else ():
        if (title := FORMS[name].of_run) is not None:
            with document_writer(name, folder / title, style) as whole:
                assert isinstance(whole, CocoWriter), "no other documents are of runs"
                for job in jobs:
                    whole.take_in(job.paths[name])


def write_picture(job: Job, segmentation: Segmentation, style: Style, ids: Ids) -> None:
    """Write all results of a picture, the class map last.

    Raises:
        OutputError: one cannot be written.
    """
    pictures = draw(segmentation, list(job.paths), style)
    with ExitStack() as stack:
        for form, path in job.paths.items():
            if form not in pictures:
                document = document_writer(form, path, style, ids.get(form))
                stack.enter_context(document)
                document.add(FrameInfo(job.frame_name(0), 0, None), segmentation.classes)
    for form in sorted(pictures, key=lambda form: form == "classes"):
        _write(form, job.paths[form], pictures[form], style)


class ClipWriter:
    """The results of a clip that is being segmented; made by `clip_outputs`."""

    def __init__(self, job: Job, style: Style, ids: Ids, *, rate: Fraction, sound: Sound | None, stack: ExitStack) -> None:
        self._job, self._style = job, style
        self._videos: dict[FormName, VideoWriter] = {}
        self._folders: dict[FormName, Path] = {}
        self._documents: list[Document] = []
        loud = "overlay" if "overlay" in job.paths else "colour"  # the sound can be read once
        for form, path in job.paths.items():
            if path in job.folders:
                self._folders[form] = stack.enter_context(_folder(path))
            elif path.suffix == ".mp4":
                heard = sound if form == loud else None
                self._videos[form] = stack.enter_context(video_sink(path, rate=rate, sound=heard))
            else:
                self._documents.append(document_writer(form, path, style, ids.get(form)))
                stack.enter_context(self._documents[-1])

    def write(self, index: int, frame: Frame, segmentation: Segmentation, pictures: dict[FormName, np.ndarray]) -> None:
        """Append frame number `index`, from 0, with its classes and the `pictures` that `draw` made of them."""
        for form, video in self._videos.items():
            video.write(pictures[form], frame.time_s, frame.pixel_aspect)
        for form, folder in self._folders.items():
            _write(form, folder / f"{index:06}.png", pictures[form], self._style, frame.pixel_aspect)
        for document in self._documents:
            document.add(FrameInfo(self._job.frame_name(index), index, frame.time_s), segmentation.classes)

    def cut(self) -> None:
        """Say that the clip was left before its end."""
        for video in self._videos.values():
            video.cut()


@contextmanager
def clip_outputs(job: Job, style: Style, ids: Ids, *, rate: Fraction, sound: Sound | None) -> Iterator[ClipWriter]:
    """Write the results of a clip of `rate` frames per second; they have their names when the block ends, or not at all after an
    exception. The `ids` of documents are kept up to date.

    Raises:
        OutputError: a result cannot be written.
    """
    with ExitStack() as stack:
        yield ClipWriter(job, style, ids, rate=rate, sound=sound, stack=stack)


def _write(form: FormName, path: Path, picture: np.ndarray, style: Style, pixel_aspect: Fraction = Fraction(1)) -> None:
    write_png(path, picture, palette_rgb=style.palette_rgb if form == "palette" else None, pixel_aspect=pixel_aspect)


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """A folder under a name of its own that becomes `path` at the end of the block, instead of an older one there."""
    partial = partial_name(path)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(partial, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if partial.is_dir() and not any(partial.iterdir()):
            partial.rmdir()
