"""Compiled models kept on disk, so that the second start of a program is fast.

They lie in the user's cache folder, or where the environment variable ICNET_CACHE says; an empty one keeps nothing. A file is
named after all that it depends on, and begins with the SHA-256 of the rest, so neither a stale nor a damaged one is ever used.
"""

import hashlib
import json
import logging
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from icnet import __version__
from icnet.base.errors import OutputError
from icnet.base.files import replacing
from icnet.base.places import CACHE, cache_folder
from icnet.runtime.core import core

MOST = 8
"""Files kept; the oldest ones go first."""

_DIGEST = hashlib.sha256().digest_size


def compile_cached(network: ov.Model, settings: dict[str, Any], identity: str) -> tuple[ov.CompiledModel, bool]:
    """Compile a model for the CPU, or read it as it was compiled before.

    A cache that cannot be read or written is done without: it only costs time.

    Args:
        network: as this project's code made it of the files that `identity` names.
        settings: of OpenVINO.
        identity: what else the network depends on, such as checksum and size.

    Returns:
        The compiled model, and whether it came from the disk.
    """
    folder = cache_folder()
    path = folder / f"{_key(settings, identity)}.blob" if folder is not None and _is_ours(folder) else None
    if path is not None and (found := _read(path, settings)) is not None:
        return found, True
    compiled = core().compile_model(network, "CPU", settings)
    if path is not None:
        _write(path, compiled)
    return compiled, False


def mark_of(identity: str) -> Path | None:
    """The empty file that says that a model was tried here with this OpenVINO and this code; None if nothing is kept."""
    folder = cache_folder()
    if folder is None or not _is_ours(folder):
        return None
    return folder / f"{hashlib.sha256(' '.join((identity, ov.get_version(), _code())).encode()).hexdigest()[:32]}.tried"


@cache
def _is_ours(folder: Path) -> bool:
    """Make the folder; whether nobody else may write there. What lies there is run, in a way."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return False
    if sys.platform == "win32" or (status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022):
        return True
    logging.getLogger(__name__).warning(
        "icnet: others may write in %s, so compiled models are not kept there: chmod go-w it, or set %s to a folder of your own",
        ascii(str(folder)),
        CACHE,
    )
    return False


def _key(settings: dict[str, Any], identity: str) -> str:
    device = [core().get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    parts = [identity, settings, device, ov.get_version(), __version__, _code()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@cache
def _code() -> str:
    """Of the modules that make a network of its files: in a checkout they change under one version."""
    here, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted([*here.glob("*.py"), *here.with_name("network").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: Path, settings: dict[str, Any]) -> ov.CompiledModel | None:
    try:
        data = path.read_bytes()
        if hashlib.sha256(memoryview(data)[_DIGEST:]).digest() != data[:_DIGEST]:
            return None
        return core().import_model(ov.Tensor(np.frombuffer(data, np.uint8, offset=_DIGEST)), "CPU", settings)
    except (OSError, ValueError, RuntimeError):  # ValueError: of no bytes at all
        return None


def _write(path: Path, compiled: ov.CompiledModel) -> None:
    with suppress(OutputError, OSError, RuntimeError):  # OSError: another process may be removing the same
        blob = compiled.export_model().getvalue()
        with replacing(path) as temporary:
            temporary.write_bytes(hashlib.sha256(blob).digest() + blob)
        files = sorted(path.parent.glob("*.blob"), key=lambda file: file.stat().st_mtime)
        for file in files[:-MOST]:
            file.unlink(missing_ok=True)
