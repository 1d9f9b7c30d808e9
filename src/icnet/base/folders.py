"""What lies in folders and matches patterns; links are followed, and none leads round in a circle."""

import glob
import os
import re
from collections import deque
from collections.abc import Callable, Iterator

_DEEP = re.compile(r"(^|/)(?:\*\*(?:/|$))+".replace("/", re.escape(os.sep)))
"""`**`, on its own between two separators."""


def walk(root: str, pass_over: Callable[[str], object] = lambda name: None) -> Iterator[tuple[str, list[str]]]:
    """The folders from `root` downwards, each once: those that only links lead to come last.

    Args:
        root: a folder.
        pass_over: takes the names of folders that cannot be read.

    Yields:
        A folder and the names in it of all that is no folder, sorted. Hidden names are left out.
    """
    seen: set[tuple[int, int]] = set()
    real, linked = [root], deque[str]()
    while real or linked:
        folder = real.pop() if real else linked.popleft()
        try:
            status = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            pass_over(folder)
            continue
        if (identity := (status.st_dev, status.st_ino)) in seen:
            continue
        seen.add(identity)
        names = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not entry.is_dir():
                names.append(entry.name)
            elif entry.is_symlink():
                linked.append(_joined(folder, entry.name))
            else:
                real.append(_joined(folder, entry.name))
        yield folder, names


def place(name: str) -> str:
    """The path of a file, or of a link to one, without linked folders."""
    return os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))


def matching(pattern: str) -> list[str]:
    """Files and folders that match a pattern with `*`, `?`, `[...]` and `**`; sorted, those behind links last."""
    return sorted(set(_matching(pattern)), key=lambda name: (os.path.realpath(name) != os.path.abspath(name), name))


def _matching(pattern: str) -> Iterator[str]:
    deep = _DEEP.search(pattern)
    if deep is None:
        yield from glob.glob(pattern)
        return
    for top in glob.glob(pattern[: deep.end(1)]) if deep.end(1) else [""]:
        for folder, _ in walk(top or os.curdir):
            yield from _matching(_joined(glob.escape(folder), pattern[deep.end() :] or "*"))


def _joined(folder: str, name: str) -> str:
    return name if folder == os.curdir else os.path.join(folder, name)
