"""Writing without half-written results: a temporary name in the same folder, then a rename; and one writer per folder or file."""

import errno
import glob
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from icnet.base.errors import OutputError, UsageError

if sys.platform != "win32":
    import fcntl

_LASTING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV, errno.ENXIO})

_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.\d+\.part(?P<suffix>\.[^.]*)?", re.DOTALL)

_LONGEST_STEM = 40
"""Characters of a temporary name's stem: what the system allows for a name may be used up by the result's own."""


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The line for a result that the system does not take."""
    reason = error.strerror or error
    lasting = error.errno is None or error.errno in _LASTING
    return OutputError(f"cannot write {path}: {reason}; choose another place or free some space", lasting=lasting)


@contextmanager
def replacing(path: Path, *, temporary: Path | None = None, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path; on success it becomes `path`, on failure it is removed and `path` stays as it was.

    The temporary name keeps the suffix, because writers such as OpenCV choose the format by it.

    Args:
        path: where the result goes.
        temporary: a name of one's own in the same folder. What was written under it then stays there on failure.
        durable: also survive a crash of the machine: the content is on the disk before the rename, and the rename
            before the block is left.

    Raises:
        OutputError: the folder or the file cannot be written.
    """
    part = temporary or path.with_name(f".{_short(path.stem)}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if durable:
            _sync(part)
        os.replace(part, path)
        if durable:
            with suppress(OSError):  # Windows and some network drives cannot; the file is in place all the same
                _sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    except RecursionError as error:  # of making the folders
        raise OutputError(
            f"cannot write {path}: its folders are nested too deeply; choose another place", lasting=False
        ) from error
    finally:
        if temporary is None:
            with suppress(OSError):  # the error above says more than a second one
                part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder; on success it becomes `path`, which must be empty or missing, on failure it is removed.

    Raises:
        UsageError: `path` is there and holds something, or another process is making it.
        OutputError: the folder cannot be written.
    """
    with sole_owner(path):
        prefix = f".{_short(path.name)}."
        try:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
            if os.path.lexists(path):
                raise UsageError(f"{path} is there and not empty: choose another -o, or remove it")
            for left in path.parent.glob(f"{glob.escape(prefix)}*.part"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            part = Path(tempfile.mkdtemp(".part", prefix, path.parent))
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            yield part
            part.chmod(0o777 & ~_umask())
            os.rename(part, path)
        except OSError as error:
            raise cannot_write(path, error) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _umask() -> int:
    """What the user keeps others from; `mkdtemp` keeps them from everything."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _short(stem: str) -> str:
    return stem if len(stem) <= _LONGEST_STEM else f"{stem[:_LONGEST_STEM]}-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:12]}"


def _sync(path: Path) -> None:
    """Wait until a file or a folder's entries are on the disk."""
    writable = os.O_RDWR if os.name == "nt" and path.is_file() else os.O_RDONLY  # Windows flushes only what may be written
    descriptor = os.open(path, writable)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file atomically and durably.

    Raises:
        OutputError: it cannot be written; `path` stays as it was.
    """
    with replacing(path, durable=True) as temporary:
        temporary.write_bytes(data)


@contextmanager
def sole_writer(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Within the block no other process can be in such a block on the same folder, which is made if it is missing.

    The claim is a lock of the operating system, so it ends with the process however that ends. What a killed predecessor
    left of its temporary files is removed first. Where the system has no such locks (Windows) nobody is kept out.

    Args:
        folder: to write in.
        names: the files that only holders of the claim write there.

    Raises:
        UsageError: another process is at work in the folder.
        OutputError: the folder cannot be written.
    """
    descriptor = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if sys.platform != "win32":
            descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"cannot write in {folder}: {error.strerror or error}; choose another folder") from error
    with _claimed(descriptor, f"another process is at work in {folder}: wait for it, or choose another folder"):
        remove_temporaries(folder / name for name in names)
        yield


@contextmanager
def sole_owner(path: Path) -> Iterator[None]:
    """As `sole_writer`, of one file, which need not be there; a hidden file beside it holds the claim and goes with it.

    Raises:
        UsageError: another process is in such a block.
        OutputError: the folder cannot be written.
    """
    marker, taken = (
        path.with_name(f".{_short(path.name)}.lock"),
        f"another run writes {path}: wait for it, or choose another name",
    )
    with ExitStack() as stack:
        while sys.platform != "win32":
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(marker, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise cannot_write(path, error) from error
            stack.enter_context(_claimed(descriptor, taken))
            with suppress(OSError):
                if os.path.samestat(os.fstat(descriptor), os.stat(marker)):  # else its last owner has just removed it
                    stack.callback(marker.unlink, missing_ok=True)
                    break
        yield


@contextmanager
def _claimed(descriptor: int | None, taken: str) -> Iterator[None]:
    """Hold the lock of an open file, or none, and close the file."""
    try:
        if descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(taken) from error
            except OSError:  # the file system, such as that of some networks, has no such locks
                pass
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_temporaries(paths: Iterable[Path]) -> None:
    """Remove what `replacing` left for these results in processes that were killed; nobody else may be writing them."""
    wanted: dict[Path, set[tuple[str, str]]] = {}
    for path in paths:
        wanted.setdefault(path.parent, set()).add((_short(path.stem), path.suffix))
    for folder, results in wanted.items():
        with suppress(OSError):  # it only takes room
            for path in folder.iterdir():
                match = _TEMPORARY.fullmatch(path.name)
                if match and (match["stem"], match["suffix"] or "") in results:
                    path.unlink()
