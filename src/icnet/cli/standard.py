"""`-` for standard input and standard output."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from icnet.base.errors import UsageError
from icnet.base.files import cannot_write

if TYPE_CHECKING:
    from icnet.media.jobs import Job
    from icnet.media.sources import Source

STANDARD = "-"
REPORT = "jsonl"
"""What `--write` calls the report, on standard output only."""

_FOLDER_ADVICE = f"give a folder with -o, or take --write {REPORT} or --stats {STANDARD} for numbers"


@dataclass(frozen=True)
class Streams:
    """Where a run reads and writes, with files of a temporary folder in place of the standard streams."""

    inputs: list[str]
    output: Path
    stats: Path | None
    write: str | None
    """Forms to write, or `REPORT`."""
    read: Path | None
    """What came through standard input."""
    is_output: bool
    """The result goes to standard output."""
    is_stats: bool
    """The table goes there."""

    @property
    def is_report(self) -> bool:
        """The report goes there, line by line."""
        return self.is_output and self.write == REPORT

    def named(self, sources: list[Source]) -> list[Source]:
        """The sources, of which standard input is called as the user calls it."""
        return [replace(source, title=STANDARD) if source.name == str(self.read) else source for source in sources]

    def checked(self, jobs: list[Job]) -> list[Job]:
        """The jobs; of numbers alone, without results.

        Raises:
            UsageError: standard output cannot hold their results.
        """
        if self.is_report or (self.is_output and self.is_stats):
            return [replace(job, paths={}) for job in jobs]
        if self.is_output and (len(jobs) != 1 or len(jobs[0].outputs) != 1 or jobs[0].folders):
            raise UsageError(f"-o {STANDARD} takes one form of one input, and class maps of a picture only: {_FOLDER_ADVICE}")
        return jobs

    def tell(self, entry: dict[str, Any]) -> None:
        """Print the report of an input."""
        if self.is_report:
            typer.echo(json.dumps(entry, allow_nan=False))

    def finish(self, jobs: list[Job]) -> None:
        """Send what was written to standard output."""
        paths: list[Path] = []
        if self.is_stats and self.stats is not None:
            paths = [self.stats]
        elif self.is_output and not self.is_report:
            paths = jobs[0].outputs
        for path in paths:
            if path.is_file():
                with path.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.buffer.flush()


@contextmanager
def streams(inputs: list[str], output: Path, stats: Path | None, write: str | None, *, alone: bool) -> Iterator[Streams]:
    """Read standard input if it is named, and give places for what goes to standard output.

    Args:
        inputs: as given.
        output: as given.
        stats: as given.
        write: as given.
        alone: whether nothing else may go to standard output.

    Raises:
        UsageError: standard input is a terminal, or empty; or two things would go to standard output.
        OutputError: there is no room for standard input.
    """
    to_stdout, table = str(output) == STANDARD, str(stats) == STANDARD
    if not (STANDARD in inputs or to_stdout or table):
        yield Streams(inputs, output, stats, write, None, False, False)
        return
    if (to_stdout or table) and alone:
        raise UsageError(f"standard output takes one thing: leave out --json, --resume and --contact-sheet, or {STANDARD}")
    if to_stdout and table and write is not None:
        raise UsageError(f"standard output takes one thing: leave out --write, or --stats {STANDARD}")
    with tempfile.TemporaryDirectory(prefix="icnet-") as name:
        folder = Path(name)
        read = folder / "stdin" if STANDARD in inputs else None
        if read is not None:
            _read(read)
        made = Streams(
            inputs=[str(read) if given == STANDARD else given for given in inputs],
            output=folder / "out" if to_stdout else output,
            stats=folder / "stats.csv" if table else stats,
            write=write or "classes" if to_stdout else write,
            read=read,
            is_output=to_stdout,
            is_stats=table,
        )
        try:
            yield made
        except UsageError as error:
            raise UsageError(str(error).replace(str(read), "standard input")) from error


def _read(path: Path) -> None:
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"{STANDARD} is standard input, which is a terminal: send a picture or video into it with < or |")
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
            if not file.tell():
                raise UsageError("standard input is empty: send a picture or video into it")
    except OSError as error:
        raise cannot_write(path, error) from error
