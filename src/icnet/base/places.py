"""Where this project keeps what can be made again, and where libraries that it uses do."""

import os
from pathlib import Path

from platformdirs import user_cache_path

CACHE = "ICNET_CACHE"
"""The environment variable that names another cache folder; an empty one keeps nothing."""

_LIBRARIES = {
    "KERAS_HOME": "~/.keras",
    "MPLCONFIGDIR": "~/.config/matplotlib",
    "TORCHINDUCTOR_CACHE_DIR": None,
}
"""The variable that says where a library writes, and the user's own folder for that, which it makes if it is missing."""


def cache_folder() -> Path | None:
    """The folder; None if nothing shall be kept, or the system knows no home of this user."""
    given = os.environ.get(CACHE)
    if given is not None:
        return Path(given) if given else None
    try:
        folder = user_cache_path("icnet", appauthor=False)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # earlier versions of platformdirs leave the ~


def keep_libraries_in_cache() -> None:
    """Let libraries that are loaded from now on write into the cache folder, unless the user has set them up in the home."""
    folder = cache_folder()
    for variable, own in _LIBRARIES.items():
        if folder is not None and not (own and os.path.isdir(os.path.expanduser(own))):
            os.environ.setdefault(variable, str(folder / variable.lower()))
