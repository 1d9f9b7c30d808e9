"""Compiled models kept on disk, so that the second start of a program is fast.

They lie in the user's cache folder, or where the environment variable ICNET_CACHE says; an empty one keeps nothing. OpenVINO
looks them up by the model and the settings and checks its own version, so a stale one is never used.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import openvino as ov
from platformdirs import user_cache_path

from icnet.runtime.core import core

MOST = 8
"""Files kept; the oldest ones go first."""

VARIABLE = "ICNET_CACHE"


def cache_folder() -> Path | None:
    """Where compiled models lie; None if they shall not be kept."""
    given = os.environ.get(VARIABLE)
    if given is None:
        return user_cache_path("icnet", appauthor=False)
    return Path(given) if given else None


def compile_cached(network: ov.Model, settings: dict[str, Any]) -> ov.CompiledModel:
    """Compile a model for the CPU, or read it as it was compiled before.

    A cache that cannot be read or written is done without: it only costs time.
    """
    folder = cache_folder()
    if folder is None:
        return core().compile_model(network, "CPU", settings)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        compiled = core().compile_model(network, "CPU", settings | {"CACHE_DIR": str(folder)})
    except (OSError, RuntimeError):
        return core().compile_model(network, "CPU", settings)
    _remove_oldest(folder)
    return compiled


def _remove_oldest(folder: Path) -> None:
    with suppress(OSError):  # another process may be doing the same
        files = sorted(folder.glob("*.blob"), key=lambda path: path.stat().st_mtime)
        for path in files[:-MOST]:
            path.unlink(missing_ok=True)
