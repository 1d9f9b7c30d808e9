"""What the user named - files, folders, patterns, cameras - as a list of sources."""

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2

from icnet.base.errors import UsageError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".jp2"})
VIDEO_SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".mts",
        ".m2ts",
        ".ts",
        ".wmv",
        ".flv",
        ".ogv",
        ".3gp",
        ".gif",
    }
)
READABLE = "expected pictures (.png, .jpg, ...) or videos (.mp4, .mkv, ...)"

_CAMERA_DIGITS = 2
"""OpenCV takes the hundreds of a larger camera number for the code of a driver."""

Kind = Literal["image", "video", "camera"]


@dataclass(frozen=True)
class Source:
    """One picture, video or camera."""

    name: str
    """Path as the user would write it, or the camera's number."""
    kind: Kind
    root: Path = Path()
    """Folder below which the outputs keep the folder structure of `name`."""


def expand(inputs: list[str], *, skip: Path | None = None) -> list[Source]:
    """Find every source behind the user's arguments.

    Args:
        inputs: paths of files and folders (searched recursively), patterns with `*`, `?`, `[...]` and `**`, camera numbers.
            What exists is a path first: beside a folder `1`, camera 1 is `01`.
        skip: a folder of results that is not searched when it lies inside an input folder or the folder of a pattern.

    Returns:
        The sources in the order of `inputs`, each file once; files of a folder or pattern are sorted by name.

    Raises:
        UsageError: nothing was given, or an argument leads to no source or cannot be looked at.
    """
    if not inputs:
        raise UsageError("no input: give an image, a folder, a pattern, a video or a camera number")
    found: dict[str, Source] = {}
    for given in inputs:
        try:
            sources = _find(given, skip)
        except OSError as error:
            raise UsageError(f"cannot look for {given}: {error.strerror or error}; give a name that can be read") from error
        for source in sources:
            identity = f"camera {source.name}" if source.kind == "camera" else os.path.abspath(source.name)
            found.setdefault(identity, source)
    return list(found.values())


def _find(given: str, skip: Path | None) -> list[Source]:
    path = Path(given)
    if given and path.is_dir():  # Path("") would be the current folder
        return _in_folder(path, _inside(path, skip)) or _nothing(f"no picture or video in the folder {given}")
    if given and path.exists():
        return [Source(given, _kind(path) or _kind_by_content(path), path.parent)]
    if given.isdecimal():
        return [_camera(given)]
    if glob.has_magic(given):
        return _matching(given, skip) or _nothing(f"no picture or video matches {given}")
    raise UsageError(f"no such file or folder: {given or 'an empty name'}; {READABLE}")


def _camera(given: str) -> Source:
    if len(given) > _CAMERA_DIGITS:
        raise UsageError(f"no such file or folder: {given}; a camera's number has one or two digits, other numbers must be names")
    return Source(str(int(given)), "camera")


def _nothing(what: str) -> list[Source]:
    raise UsageError(f"{what}: {READABLE}")


def _kind(path: Path) -> Kind | None:
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _kind_by_content(path: Path) -> Kind:
    return "image" if cv2.haveImageReader(str(path)) else "video"


def _inside(folder: Path, skip: Path | None) -> Path | None:
    """The real path of `skip` if it lies inside `folder`; elsewhere, what is found there is what the user asked for."""
    real = None if skip is None else Path(os.path.realpath(skip))
    return real if real is not None and Path(os.path.realpath(folder)) in real.parents else None


def _is_result(path: Path, results: Path | None) -> bool:
    return results is not None and results in Path(os.path.realpath(path)).parents


def _in_folder(folder: Path, results: Path | None) -> list[Source]:
    """Pictures and videos below `folder`, without hidden files and what lies in `results`, from an earlier run."""
    sources = []
    for path in sorted(folder.rglob("*")):
        kind = _kind(path)
        if kind is None or not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if not _is_result(path, results):
            sources.append(Source(str(path), kind, folder))
    return sources


def _matching(pattern: str, skip: Path | None) -> list[Source]:
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    results = _inside(root, skip)
    sources = []
    for match in sorted(glob.glob(pattern, recursive=True)):
        path = Path(match)
        if path.is_dir():  # "drives/*" means what is in those folders; "**" lists the files of a folder a second time
            sources += [Source(source.name, source.kind, root) for source in _in_folder(path, results)]
        elif (kind := _kind(path)) is not None and not _is_result(path, results):
            sources.append(Source(match, kind, root))
    return sources
