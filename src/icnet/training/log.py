"""What a run reports: a CSV line per epoch, which a tracker gets too."""

import csv
import io
import os
from pathlib import Path

from icnet.base.errors import OutputError
from icnet.base.files import write_bytes
from icnet.training.trackers import Tracker

CSV = "log.csv"
"""Name of the table in a run's folder."""

COLUMNS = ("epoch", "step", "minutes", "images_per_second", "learning_rate", "loss", "miou_strict", "miou_omz")


class TrainingLog:
    """Appends to `log.csv` in a folder and tells a tracker."""

    def __init__(self, folder: Path, step: int, tracker: Tracker | None = None):
        """Open the log in `folder` to go on after `step`; what an earlier part of the run wrote up to it stays."""
        self._csv = folder / CSV
        rows = [row for row in _whole_rows(self._csv) if int(row["step"]) <= step]  # later ones will be done again
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows(rows)
        write_bytes(self._csv, text.getvalue().encode())
        self._tracker = tracker

    def _append(self, row: list[object]) -> None:
        try:
            with self._csv.open("a", newline="") as file:
                csv.writer(file).writerow(row)
                file.flush()
                os.fsync(file.fileno())  # before a checkpoint that counts on this line
        except OSError as error:
            raise OutputError(f"cannot write {self._csv}: {error.strerror or error}; free some space") from error

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log `values` (keys among `COLUMNS`) after `step` steps.

        Raises:
            OutputError: the table cannot be written.
        """
        row = {"step": step, **values}
        self._append([row.get(column, "") for column in COLUMNS])
        if self._tracker is not None:
            self._tracker.write(step, values)

    def close(self) -> None:
        """Close the tracker."""
        if self._tracker is not None:
            self._tracker.close()


def _whole_rows(path: Path) -> list[dict[str, str]]:
    """The lines of a table that were written to their ends; none if there is no table."""
    if not path.exists():
        return []
    lines = path.read_text(errors="replace").splitlines(keepends=True)
    rows = csv.DictReader(line for line in lines if line.endswith("\n"))
    return [row for row in rows if None not in row.values() and row.get("step", "").isdigit()]
