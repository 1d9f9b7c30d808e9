"""`icnet.json`: what the files of a model that is passed on are, and their digests.

It comes from strangers: names cannot leave the folder, sizes are bounded, and only kinds of files that cannot run anything are
known.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icnet import __version__
from icnet.base.errors import ModelError

MANIFEST = "icnet.json"
SIGNATURE = "model.sig"
"""Signs all other files; see `icnet.hub.signing`."""

FORMAT = 1

MOST_FILES = 64
LARGEST = 1 << 29
"""Bytes of a model file; the largest network of this project has 107 MB in float32."""
LARGEST_TEXT = 1 << 20
"""Bytes of the manifest and of the signature."""

KINDS = ("int8", "weights", "logits", "soft", "index")
"""What a model can be passed on as, the one that a program runs best first: in eight bits for OpenVINO (logits), as weights, and
in floating point for OpenVINO, by its output."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_SUFFIXES = {".safetensors", ".xml", ".bin", ".json", ".md"}


@dataclass(frozen=True)
class Entry:
    """One file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The files of a model, but for the manifest itself and its signature."""

    model: str
    """The network's name."""
    models: dict[str, str]
    """Those of `KINDS` that there are, with the `.safetensors` or `.xml` file of each."""
    files: dict[str, Entry]

    def choose(self, kinds: Iterable[str], file: str | None, where: object) -> str:
        """The model file to take: `file` if given, else the first of `kinds` that is there.

        Raises:
            ModelError: there is none.
        """
        fitting = [self.models[kind] for kind in kinds if kind in self.models]
        if file is not None:
            fitting = [name for name in fitting if name == file]
        if not fitting:
            raise ModelError(f"{where} has no such model file: it has {', '.join(self.models.values()) or 'none'}")
        return fitting[0]

    def to_json(self) -> str:
        """The file's content."""
        files = {name: {"sha256": entry.sha256, "bytes": entry.bytes} for name, entry in sorted(self.files.items())}
        document = {"format": FORMAT, "made_by": f"icnet {__version__}", "model": self.model}
        return json.dumps(document | {"models": self.models, "files": files}, indent=2) + "\n"


def parts(name: str) -> list[str]:
    """The files that a model file consists of: an `.xml` has its `.bin`."""
    return [name, str(Path(name).with_suffix(".bin"))] if name.endswith(".xml") else [name]


def describe(folder: Path, model: str, models: dict[str, str]) -> Manifest:
    """The manifest of the files that lie in a folder."""
    names = sorted(path.name for path in folder.iterdir() if path.name not in (MANIFEST, SIGNATURE))
    return Manifest(model, models, {name: Entry(digest(folder / name), (folder / name).stat().st_size) for name in names})


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_manifest(data: bytes, where: object) -> Manifest:
    """Read a manifest.

    Raises:
        ModelError: it is damaged, of another version, or names what it may not.
    """
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ModelError(f"{MANIFEST} of {where} has the format {document['format']!r:.20}: update icnet")
        files = {name: _entry(name, entry) for name, entry in document["files"].items()}
        models = {kind: name for kind, name in document["models"].items() if kind in KINDS}
        if not isinstance(document["model"], str) or len(files) > MOST_FILES:
            raise ValueError(f"it names no model, or more than {MOST_FILES} files")
        for kind, name in models.items():
            if not isinstance(name, str) or Path(name).suffix != (".safetensors" if kind == "weights" else ".xml"):
                raise ValueError(f"{name!r:.60} is no file for {kind}")
            if missing := set(parts(name)) - set(files):
                raise ValueError(f"it has no digest of {min(missing)}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{MANIFEST} of {where} cannot be used ({error}): ask whoever made it to push it again") from error
    return Manifest(document["model"], models, files)


def _entry(name: str, entry: Any) -> Entry:
    """One checked entry.

    Raises:
        ValueError: name, size or digest is none.
    """
    if not _NAME.fullmatch(name) or len(name) > 200 or Path(name).suffix not in _SUFFIXES or name == MANIFEST:
        raise ValueError(
            f"it names a file {name!r:.60}, and only plain names of {', '.join(sorted(_SUFFIXES))} files are allowed"
        )
    sha256, size = entry["sha256"], entry["bytes"]
    if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"the digest of {name} is none")
    if type(size) is not int or not 0 <= size <= LARGEST:
        raise ValueError(f"the size of {name} is {size!r:.30}, and at most {LARGEST:,} bytes are allowed")
    return Entry(sha256, size)
