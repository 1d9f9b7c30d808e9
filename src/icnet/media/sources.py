"""What the user named - files, folders, patterns, cameras, network streams - as a list of sources."""

import glob
import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from icnet.base.errors import UsageError
from icnet.base.folders import matching, place, walk
from icnet.media.content import sniff
from icnet.pictures.formats import reads_heic

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".avif"}) | (
    HEIC_SUFFIXES if reads_heic else frozenset()
)
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

_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp")
_ADDRESSES = "an address begins with rtsp://, rtsps://, http:// or https://, or with rtmp://, rtmps://, srt:// or udp://"
_HOSTLESS = ("srt", "udp")
"""May wait on a port for who sends."""

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)(://.*)", re.IGNORECASE | re.DOTALL)
"""Scheme and rest; a scheme has more than one letter, which would be a drive."""

_PASSWORD = re.compile(r"(://(?!\[)[^:]*):.*@", re.DOTALL)
"""From the first colon to the last @, unless that colon is in an IPv6 host: names and passwords of cameras hold what no
address should, and it is better to hide too much."""

_VALUE = re.compile(r"([?&][^=&]*=)[^&]*")
"""Cameras take passwords in the query, too."""

Kind = Literal["image", "video", "camera", "stream"]


@dataclass(frozen=True)
class Source:
    """One picture, video, camera or network stream."""

    name: str
    """Path as the user would write it, the camera's number or device, or an address with all that is secret in it."""
    kind: Kind
    root: Path = Path()
    """Folder below which the outputs keep the folder structure of `name`."""
    title: str | None = None
    """What outputs and messages call it, if not by its name."""
    fetched: bool = False
    """It is a picture at an address."""

    @property
    def shown(self) -> str:
        """`name` as outputs and messages may show it: what may be secret in an address is ***."""
        if self.title is not None:
            return self.title
        return _VALUE.sub(r"\1***", _PASSWORD.sub(r"\1:***@", self.name)) if self.remote else self.name

    @property
    def remote(self) -> bool:
        """Whether `name` is an address."""
        return self.kind == "stream" or self.fetched

    @property
    def is_live(self) -> bool:
        """Whether it goes on for ever, as far as can be told before it is opened."""
        return self.kind in ("camera", "stream")

    @property
    def is_file(self) -> bool:
        """Whether `name` is a path."""
        return self.kind != "camera" and not self.remote


def expand(
    inputs: list[str],
    *,
    skip: Path | None = None,
    written: Collection[str] = (),
    allow_url: bool = False,
    pass_over: Callable[[str], None] = lambda name: None,
) -> list[Source]:
    """Find every source behind the user's arguments.

    Args:
        inputs: paths of files and folders (searched recursively, links too), patterns with `*`, `?`, `[...]` and `**`, camera
            numbers and devices, addresses of streams. What exists is a path first: beside a folder `1`, camera 1 is `01`.
        skip: a folder of results that is not searched when it lies inside an input folder or the folder of a pattern.
        written: real paths of results of earlier runs, which no search finds either.
        allow_url: take addresses, and named files that are playlists, which name other files or addresses.
        pass_over: takes the name of each file of a folder or pattern that is no source, and of folders that cannot be read.

    Returns:
        The sources in the order of `inputs`, each file and stream once; files of a folder or pattern are sorted by name.

    Raises:
        UsageError: nothing was given, or an argument leads to no source, cannot be looked at or is not allowed.
    """
    if not inputs:
        raise UsageError("no input: give an image, a folder, a pattern, a video, a camera number or an address")
    found: dict[str, Source] = {}
    others: dict[str, str] = {}
    for given in inputs:
        try:
            sources = _find(given, skip, allow_url, lambda name: others.setdefault(place(name), name))
        except OSError as error:
            raise UsageError(f"cannot look for {given}: {error.strerror or error}; give a name that can be read") from error
        fresh = [source for source in sources if source.name == given or os.path.realpath(source.name) not in written]
        for source in fresh or _nothing(f"nothing but earlier results in {given}"):
            found.setdefault(_identity(source), source)
    for name in others.values():
        if os.path.abspath(name) not in found and os.path.realpath(name) not in written:
            pass_over(name)
    return list(found.values())


def _identity(source: Source) -> str:
    return os.path.abspath(source.name) if source.is_file else f"{source.kind} {source.name}"


def _find(given: str, skip: Path | None, allow_url: bool, pass_over: Callable[[str], object]) -> list[Source]:
    if (address := _ADDRESS.fullmatch(given)) and not os.path.exists(given):  # unlike that of Path it takes names of any length
        return [_stream(address[1].lower(), address[2], allow_url)]
    path = Path(given)
    if given and path.is_dir():  # Path("") would be the current folder
        return _in_folder(path, _inside(path, skip), pass_over) or _nothing(f"no picture or video in the folder {given}")
    if given and path.exists():
        if not allow_url and sniff(path) == "playlist":
            raise UsageError(f"{given} is a playlist, which names other files or addresses: allow it with --allow-url")
        return [Source(given, "camera" if path.is_char_device() else _kind(path), path.parent)]
    if given.isdecimal():
        return [_camera(given)]
    if glob.has_magic(given):
        return _matching(given, skip, pass_over) or _nothing(f"no picture or video matches {given}")
    raise UsageError(f"no such file or folder: {given or 'an empty name'}; {READABLE}")


def _stream(scheme: str, rest: str, allow_url: bool) -> Source:
    source = Source(scheme + rest, "stream")
    if scheme not in _SCHEMES:
        raise UsageError(f"cannot open {source.shown}: {_ADDRESSES}")
    if not allow_url:
        raise UsageError(f"cannot open {source.shown}: network addresses are opened only with --allow-url")
    try:
        parts = urlsplit(source.shown)
        place = parts.hostname or (scheme in _HOSTLESS and parts.port)
    except ValueError:  # of brackets without an IPv6 host
        place = None
    if not place:
        raise UsageError(f"cannot open {source.shown}: it names no host; give an address such as rtsp://camera.local/stream")
    return source


def _camera(given: str) -> Source:
    if len(given) > _CAMERA_DIGITS:
        raise UsageError(f"no such file or folder: {given}; a camera's number has one or two digits, other numbers must be names")
    return Source(str(int(given)), "camera")


def _nothing(what: str) -> list[Source]:
    raise UsageError(f"{what}: {READABLE}")


def _is_wanted(path: Path) -> bool:
    """Whether a file of a folder or pattern has a suffix of ours."""
    return path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES


def _kind(path: Path) -> Kind:
    """A picture by content or suffix, and otherwise something that FFmpeg may read."""
    return "image" if path.suffix.lower() in IMAGE_SUFFIXES or sniff(path) == "picture" else "video"


def _inside(folder: Path, skip: Path | None) -> Path | None:
    """The real path of `skip` if it lies inside `folder`; elsewhere, what is found there is what the user asked for."""
    real = None if skip is None else Path(os.path.realpath(skip))
    return real if real is not None and Path(os.path.realpath(folder)) in real.parents else None


def _in_folder(folder: Path, results: Path | None, pass_over: Callable[[str], object]) -> list[Source]:
    """Pictures and videos below `folder`, without hidden files and what lies in `results`, from an earlier run."""
    files = [Path(name, file) for name, files in walk(str(folder), pass_over) for file in files]
    return [source for path in sorted(files) for source in _taken(path, results, pass_over, folder)]


def _taken(path: Path, results: Path | None, pass_over: Callable[[str], object], root: Path = Path()) -> list[Source]:
    """A file that a search came upon, as a source if it is one."""
    if results is not None and results in Path(os.path.realpath(path)).parents:
        return []
    if _is_wanted(path) and path.is_file():
        return [Source(str(path), _kind(path), root)]
    pass_over(str(path))
    return []


def _matching(pattern: str, skip: Path | None, pass_over: Callable[[str], object]) -> list[Source]:
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    results = _inside(root, skip)
    found: dict[str, Source] = {}
    for path in map(Path, matching(pattern)):  # "drives/*" means what is in those folders
        for source in (_in_folder if path.is_dir() else _taken)(path, results, pass_over):
            found.setdefault(place(source.name), replace(source, root=root))
    return list(found.values())
