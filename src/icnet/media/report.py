"""What became of each input, one JSON object per line, written as the work goes on."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from icnet.base.errors import OutputError, UsageError
from icnet.base.files import replacing

if sys.platform != "win32":
    import fcntl

NAME = "report.jsonl"
"""Name of the report in the folder of the results."""

Entry = dict[str, Any]
"""One line: `input` and `kind`, then `outputs`, `frames`, `size`, `shares` and `ms`, or `error`."""


def stamp(name: str) -> Entry:
    """What tells whether a file is still the same; nothing if there is no such file."""
    try:
        status = os.stat(name)
    except OSError:  # a camera, or a file that has gone
        return {}
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


class Report:
    """A report that is being written. Use it in a `with` statement.

    Every line is on its way to the disk before the next input is begun, so a run that was killed can be taken up again.

    Attributes:
        done: input name to its entry of the earlier run, for those inputs that need not be segmented again.
    """

    def __init__(self, folder: Path, settings: str, *, resume: bool = False) -> None:
        """Begin a report, or go on with one.

        Args:
            folder: of the results.
            settings: identifies what the results depend on.
            resume: keep the entries whose inputs have not changed and whose outputs are there, if there is an earlier report.

        Raises:
            UsageError: the earlier run had other settings, or another process writes in the folder.
            OutputError: it cannot be written.
        """
        self._path, self._settings = folder / NAME, settings
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._claim()
            self.done = self._earlier() if resume else {}
            with replacing(self._path) as temporary:  # cuts a torn last line off, too
                temporary.write_text("".join(_line(entry) for entry in self.done.values()), encoding="utf-8")
            self._file.close()
            self._file = self._path.open("a", encoding="utf-8")
            self._claim()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        with suppress(OSError):  # `add` has told
            self._file.close()

    def add(self, entry: Entry) -> None:
        """Append a line.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._file.write(_line(entry | {"settings": self._settings} | stamp(entry["input"])))
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from error

    def _claim(self) -> None:
        """Keep other processes from writing the same report; the system lifts this however the process ends."""
        if sys.platform != "win32":
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(
                    f"another process writes its results in {self._path.parent}: wait for it, or choose another -o"
                ) from error

    def _earlier(self) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for line in self._path.read_bytes().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the line that a killed process was writing
                continue
            if isinstance(entry, dict) and isinstance(entry.get("input"), str):
                entries[entry["input"]] = entry
        if any(entry.get("settings") != self._settings for entry in entries.values()):
            raise UsageError(
                f"the run that wrote {self._path} had another model or other options: repeat them, or leave --resume out"
            )
        return {name: entry for name, entry in entries.items() if _holds(entry)}

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self._path}: {error.strerror or error}; choose another -o or free some space")


def _line(entry: Entry) -> str:
    return json.dumps(entry, allow_nan=False) + "\n"


def _holds(entry: Entry) -> bool:
    """Whether an entry is of a file that was segmented to its end, is still the same, and has all its outputs."""
    if "error" in entry or entry.get("interrupted") or entry.get("kind") not in ("image", "video"):
        return False
    same = {key: entry.get(key) for key in ("bytes", "mtime_ns")} == stamp(entry["input"])
    return same and all(os.path.exists(path) for path in entry.get("outputs", [""]))
