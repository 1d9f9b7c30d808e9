"""What a run reports: a CSV line per epoch, and TensorBoard events."""

import csv
import io
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from icnet.base.files import write_bytes

CSV = "log.csv"
"""Name of the table in a run's folder."""

COLUMNS = ("epoch", "step", "minutes", "images_per_second", "learning_rate", "loss", "miou_strict", "miou_omz")


class TrainingLog:
    """Appends to `log.csv` and to TensorBoard event files in one folder; needs no TensorFlow."""

    def __init__(self, folder: Path, step: int):
        """Open the logs in `folder` to go on after `step`; lines of an earlier part of the run up to it stay."""
        self._csv = folder / CSV
        rows: list[list[str]] = []
        if self._csv.exists():
            with self._csv.open(newline="") as file:
                _, *rows = csv.reader(file)
        kept = [row for row in rows if int(row[COLUMNS.index("step")]) <= step]  # later ones will be done again
        text = io.StringIO()
        csv.writer(text).writerows([COLUMNS, *kept])
        write_bytes(self._csv, text.getvalue().encode())
        self._events = EventFileWriter(str(folder / "tensorboard"))

    def _append(self, row) -> None:
        with self._csv.open("a", newline="") as file:
            csv.writer(file).writerow(row)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log `values` (keys among `COLUMNS`) after `step` steps."""
        row = {"step": step, **values}
        self._append([row.get(column, "") for column in COLUMNS])
        scalars = [Summary.Value(tag=key, simple_value=value) for key, value in values.items()]
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=scalars)))
        self._events.flush()

    def close(self) -> None:
        """Close the event file."""
        self._events.close()
