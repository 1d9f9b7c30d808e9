"""What became of each input, one JSON object per line, written as the work goes on."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from icnet.base.errors import UsageError
from icnet.base.files import cannot_write, replacing
from icnet.media.jobs import Job

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


def earlier_entries(folder: Path) -> list[Entry]:
    """The lines of the report in a folder of results; none if there is no report.

    Raises:
        UsageError: it cannot be read.
    """
    path = folder / NAME
    try:
        *lines, torn = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}; remove it, or choose another -o") from error
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(_entry(line))
        except (ValueError, RecursionError) as error:
            raise UsageError(
                f"line {number} of {path} is none that icnet wrote: remove the file, or choose another -o"
            ) from error
    with suppress(ValueError, RecursionError):  # a killed process was writing it
        entries.append(_entry(torn))
    return entries


def _entry(line: bytes) -> Entry:
    """What a line holds.

    Raises:
        ValueError, RecursionError: `Report.add` has not written it.
    """
    entry = json.loads(line)
    if not isinstance(entry, dict) or not isinstance(outputs := entry.get("outputs", []), list):
        raise ValueError("no entry")
    _line(entry)  # refuses NaN
    if "error" not in entry and not isinstance(entry.get("frames"), int):
        raise ValueError("no count")
    for name in (entry.get("input"), *outputs):
        if not isinstance(name, str) or b"\0" in os.fsencode(name):
            raise ValueError("no name")
    return entry


def written(folder: Path) -> set[str]:
    """Real paths of what earlier runs wrote into a folder, as far as its report tells."""
    paths = [path for entry in earlier_entries(folder) for path in entry.get("outputs", [])]
    sheets = folder.glob("contact-sheet*.jpg") if paths else ()
    return {os.path.realpath(path) for path in (*paths, *sheets)}


class Report:
    """A report that is being written. Use it in a `with` statement, and `icnet.base.files.sole_writer` around that.

    Every line is on its way to the disk before the next input is begun, so a run that was killed can be taken up again. An
    older report stays until there is a line to write.

    Attributes:
        done: name of each input that need not be segmented again, and its entry of the earlier run.
        kept: all entries of earlier runs that stay: these, and those of inputs that are not in this run.
    """

    def __init__(
        self,
        folder: Path,
        settings: str,
        jobs: Sequence[Job],
        *,
        resume: bool = False,
        holds: Callable[[Entry], bool] | None = None,
    ) -> None:
        """Begin a report, or go on with one.

        Args:
            folder: of the results.
            settings: identifies what the results depend on.
            jobs: of this run.
            resume: keep what an earlier report tells, as far as the inputs have not changed and the outputs are there.
            holds: tells whether an entry of an input of this run still holds in other respects.

        Raises:
            UsageError: the earlier run had other settings, or its report cannot be read.
        """
        self._path, self._settings = folder / NAME, settings
        self._file: TextIO | None = None
        self.done: dict[str, Entry] = {}
        self.kept: list[Entry] = []
        if resume:
            self._look_back(jobs, holds or (lambda entry: True))

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        with suppress(OSError):  # `add` has told
            if self._file is not None:
                self._file.close()

    def add(self, entry: Entry) -> None:
        """Append a line.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            if self._file is None:
                with replacing(self._path) as temporary:
                    temporary.write_text("".join(map(_line, self.kept)), encoding="utf-8")
                self._file = self._path.open("a", encoding="utf-8")
            self._file.write(_line(entry | {"settings": self._settings} | stamp(entry["input"])))
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def _look_back(self, jobs: Sequence[Job], holds: Callable[[Entry], bool]) -> None:
        entries = earlier_entries(self._path.parent)
        if any(entry.get("settings") != self._settings for entry in entries):
            raise UsageError(
                f"the run that wrote {self._path} had another model or other options: repeat them, or leave --resume out"
            )
        planned = {job.source.shown: [str(path) for path in job.outputs] for job in jobs if not job.source.is_live}
        for entry in entries:
            if entry.get("outputs") == planned.get(entry["input"], ()) and _is_whole(entry) and holds(entry):
                self.done[entry["input"]] = entry
        to_come = {path for name, paths in planned.items() if name not in self.done for path in paths}
        for entry in entries:
            elsewhere = entry["input"] not in planned and to_come.isdisjoint(entry.get("outputs", ()))
            if elsewhere or self.done.get(entry["input"]) is entry:
                self.kept.append(entry)


def _line(entry: Entry) -> str:
    return json.dumps(entry, allow_nan=False) + "\n"


def _is_whole(entry: Entry) -> bool:
    """Whether an entry is of a file that was segmented to its end, is still the same, and has all its outputs."""
    if "error" in entry or entry.get("interrupted"):
        return False
    same = {key: entry.get(key) for key in ("bytes", "mtime_ns")} == stamp(entry["input"])
    return same and all(os.path.exists(path) for path in entry["outputs"])
