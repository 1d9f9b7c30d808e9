"""A model's files as bytes: what is hashed is what is loaded, whatever happens to the files afterwards.

Files that this project writes say themselves what their SHA-256 is, behind the word `icnet-sha256`: in the metadata of weights,
in a comment at the end of an `.xml`. It counts the digest itself as 64 zeros, and the `.bin` of an IR after its `.xml`.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from icnet.base.errors import ModelError

MARK, BLANK = "icnet-sha256", "0" * 64
"""What announces the digest, and what stands in its place while it is counted."""

_DIGEST = re.compile(MARK.encode() + rb"\W{2,7}(.{64})", re.DOTALL)

_ATTEMPTS = 3


@dataclass(frozen=True, eq=False)
class Stored:
    """The files of one model, read once."""

    path: Path
    """The `.safetensors` or the `.xml`."""
    data: bytes
    """Its content."""
    binary: bytes = b""
    """Of an IR, the content of the `.bin`."""
    origin: str = ""
    """Where it was pulled from, with the commit, if it was."""

    @cached_property
    def sha256(self) -> str:
        """Of the file; of an IR, of the .xml followed by the .bin."""
        digest = hashlib.sha256(self.data)
        digest.update(self.binary)
        return digest.hexdigest()

    @property
    def bytes(self) -> int:
        """Size of the files."""
        return len(self.data) + len(self.binary)


def read_stored(path: Path) -> Stored:
    """Read a model's files.

    Raises:
        ModelError: they are missing, cannot be read, are being written, or are not what they say they are.
    """
    if not path.is_file():
        raise ModelError(f"no model file at {path}: give a model name or the path of a .safetensors or .xml file")
    paths = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    if not paths[-1].is_file():
        raise ModelError(f"{path} has no weights beside it: {paths[-1].name} must lie in the same folder")
    try:
        stored = next(_read(paths), None)
    except OSError as error:
        raise ModelError(f"cannot read {error.filename}: {error.strerror}; check its permissions and its disk") from error
    if stored is None:
        raise ModelError(f"the files of {path} keep changing: try again when they are complete")
    if (found := find_digest(stored.data)) and found[1] != _digest(found, stored.binary):
        raise ModelError(f"{path} is damaged: its SHA-256 is not the one that it was written with; get or make it anew")
    return stored


def find_digest(data: bytes) -> re.Match[bytes] | None:
    """The digest that a model's file holds, as group 1; None if it holds none."""
    return _DIGEST.search(data)


def _read(paths: list[Path]) -> Iterator[Stored]:
    """What was read while the files stayed the same."""
    for _ in range(_ATTEMPTS):
        before = [_stamp(path) for path in paths]
        contents = [path.read_bytes() for path in paths]
        if before == [_stamp(path) for path in paths]:
            yield Stored(paths[0], contents[0], b"".join(contents[1:]))


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def sealed(data: bytes, binary: bytes = b"") -> bytes:
    """The content of a model's file with its digest in its place.

    Args:
        data: holds `MARK`, some other signs, and 64 signs where the digest goes.
        binary: of an IR, the content of its `.bin`.
    """
    found = _DIGEST.search(data)
    assert found is not None, "no place for the digest"
    return data[: found.start(1)] + _digest(found, binary) + data[found.end(1) :]


def _digest(found: re.Match[bytes], binary: bytes) -> bytes:
    whole = memoryview(found.string)
    digest = hashlib.sha256(whole[: found.start(1)])
    for part in (BLANK.encode(), whole[found.end(1) :], binary):
        digest.update(part)
    return digest.hexdigest().encode()
