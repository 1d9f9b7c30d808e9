"""Archives of strangers: unpacked within limits, or not at all."""

import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from icnet.base.errors import DataError
from icnet.base.files import cannot_write

MOST_ENTRIES = 1_000_000

_SPARE = 0.1
"""Share of the free disk that is left free."""

_BLOCK = 1 << 20

Entry = tuple[str, int, IO[bytes] | None]
"""Name, bytes, and the content; None of a folder."""


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive, by its content."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def unpack(path: Path, folder: Path, *, most_bytes: int | None = None) -> None:
    """Write the files of a zip or tar archive below a folder, which is made.

    Args:
        path: the archive.
        folder: need not be there.
        most_bytes: that may be written; nine tenths of the free disk if not given.

    Raises:
        DataError: it is damaged, encrypted or too large; or it holds a link, a device, a name twice, or one that leads outside.
        OutputError: the folder cannot be written.
    """
    left = _room(folder) if most_bytes is None else most_bytes
    seen: set[str] = set()
    with _entries(path) as entries:
        for number, (name, size, content) in enumerate(entries, 1):
            if number > MOST_ENTRIES:
                raise DataError(f"{path} has more than {MOST_ENTRIES:,} entries: unpack it yourself if you trust it")
            place = _place(path, name)
            if content is None or place is None:
                continue
            if place.as_posix().casefold() in seen:
                raise DataError(f"{path} holds {name!r:.100} twice: pack it anew")
            seen.add(place.as_posix().casefold())
            left = _write(path, content, size, folder / place, left)


def _room(folder: Path) -> int:
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return int(shutil.disk_usage(place).free * (1 - _SPARE))


@contextmanager
def _entries(path: Path) -> Iterator[Iterator[Entry]]:
    """The entries of an archive, in order, while it is open."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield _of_zip(path, archive)
        else:
            with tarfile.open(path, "r:*") as tar:
                yield _of_tar(path, tar)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is damaged or of a rare kind ({' '.join(str(error).split())[:100]}): pack it anew") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _of_zip(path: Path, archive: zipfile.ZipFile) -> Iterator[Entry]:
    for entry in archive.infolist():
        mode = entry.external_attr >> 16
        if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and stat.S_IFMT(mode):
            _refuse(path, entry.filename)
        if entry.flag_bits & 1:
            raise DataError(f"{path} is encrypted: unpack it yourself, and give the folder")
        if entry.is_dir():
            yield entry.filename, 0, None
        else:
            with archive.open(entry) as content:
                yield entry.filename, entry.file_size, content


def _of_tar(path: Path, archive: tarfile.TarFile) -> Iterator[Entry]:
    for entry in archive:
        if not (entry.isreg() or entry.isdir()):
            _refuse(path, entry.name)
        yield entry.name, entry.size, archive.extractfile(entry)


def _refuse(path: Path, name: str) -> NoReturn:
    raise DataError(f"{path} holds the link or device {name!r:.100}: expected files and folders only; pack it anew without")


def _place(path: Path, name: str) -> PurePosixPath | None:
    """Where an entry goes below the folder; None for what macOS adds and hidden files.

    Raises:
        DataError: outside of it.
    """
    place = PurePosixPath(name.replace("\\", "/"))
    parts = [part for part in place.parts if part != "."]
    if place.is_absolute() or ".." in parts or "\0" in name or (parts and parts[0].endswith(":")):
        raise DataError(f"{path} holds {name!r:.100}, which leads out of its folder: it was made to do harm, or badly")
    if not parts or parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts):
        return None
    return PurePosixPath(*parts)


def _write(path: Path, content: IO[bytes], size: int, place: Path, left: int) -> int:
    """Write a file; gives how many bytes may follow. They are counted, because the size that an archive tells may be wrong."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            while size <= left and (block := _read(path, content)):
                size, left = max(0, size - len(block)), left - len(block)
                file.write(block)
    except OSError as error:
        raise cannot_write(place, error) from error
    if size > left or left < 0:
        raise DataError(f"{path} holds more than the disk has room for: free some space")
    return left


def _read(path: Path, content: IO[bytes]) -> bytes:
    try:
        return content.read(_BLOCK)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or os.strerror(error.errno or 0)}") from error
