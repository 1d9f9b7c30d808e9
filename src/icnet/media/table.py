"""Class shares of every frame as a table, for spreadsheets and data frames."""

import csv
import importlib.util
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from icnet.base.classes import NAMES
from icnet.base.errors import OutputError, UsageError
from icnet.base.files import replacing
from icnet.media.zones import Zones
from icnet.runtime.segmenter import Segmentation

SUFFIXES = (".csv", ".parquet")

_KEYS = ("input", "frame", "time_s", "zone")
_DIGITS = 6


def check_name(path: Path) -> None:
    """Refuse a table that could not be written.

    Raises:
        UsageError: its suffix is neither `.csv` nor `.parquet`, or the library for the latter is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"cannot write a table to {path}: its name must end in {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UsageError(f"{path} needs pyarrow: pip install 'icnet[parquet]', or write a .csv")


class Table:
    """A table that is being written. Use it in a `with` statement.

    Its columns are `input`, `frame` (0 for a picture), `time_s` (empty for a picture), `zone` (empty for the whole image), and a
    share of each class, which is empty where a zone lies outside the image. Rows go to `NAME.partial.csv` until the end.
    """

    def __init__(self, path: Path, wanted: Sequence[int], zones: Zones | None, *, keep: Collection[str] = ()) -> None:
        """Begin a table.

        Args:
            path: ends in `.csv` or `.parquet`.
            wanted: class indices that become columns.
            zones: each becomes a row of its own.
            keep: names of inputs whose rows of an earlier table under this name are kept.

        Raises:
            UsageError: see `check_name`.
            OutputError: it cannot be written.
        """
        check_name(path)
        self._path, self._zones = path, zones
        self._names = [NAMES[index] for index in wanted]
        self._partial = path.with_name(f"{path.stem}.partial.csv")
        columns = [*_KEYS, *self._names]
        rows = [row for row in self._earlier() if row.get("input") in keep] if keep else []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._partial) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(rows)
            self._file = self._partial.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise self._refused(error) from error
        self._writer = csv.writer(self._file)

    def __enter__(self) -> "Table":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give the table its name; after an exception the rows stay under the other one.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._file.close()
        except OSError as error:
            if kind is None:
                raise self._refused(error) from error
        if kind is not None:
            return
        with replacing(self._path) as temporary:
            if self._path.suffix.lower() == ".csv":
                self._partial.replace(temporary)
            else:
                _to_parquet(self._partial, temporary, self._names)
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def add(self, name: str, frame: int, time_s: float | None, segmentation: Segmentation) -> None:
        """Append the rows of a frame.

        Raises:
            OutputError: they cannot be written.
        """
        time = "" if time_s is None else round(time_s, _DIGITS)
        shares: dict[str, dict[str, float] | None] = {"": segmentation.shares()}
        if self._zones is not None:
            shares |= self._zones.shares(segmentation.classes)
        try:
            for zone, of_class in shares.items():
                values = ["" if of_class is None else round(of_class[column], _DIGITS) for column in self._names]
                self._writer.writerow([name, frame, time, zone, *values])
        except OSError as error:
            raise self._refused(error) from error

    def flush(self) -> None:
        """Send the rows to the disk.

        Raises:
            OutputError: they cannot be written.
        """
        try:
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from error

    def _earlier(self) -> Iterator[dict[str, Any]]:
        """Rows of a run that was killed, or of one that came to its end."""
        if self._partial.is_file() or (self._path.is_file() and self._path.suffix.lower() == ".csv"):
            with (self._partial if self._partial.is_file() else self._path).open(newline="", encoding="utf-8") as file:
                yield from csv.DictReader(file)
        elif self._path.is_file():
            import pyarrow.parquet

            for batch in pyarrow.parquet.ParquetFile(self._path).iter_batches():
                yield from batch.to_pylist()

    def _refused(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self._path}: {error.strerror or error}; choose another place or free some space")


def _to_parquet(source: Path, target: Path, names: list[str]) -> None:
    """Convert the table piece by piece."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    types = {"input": pa.string(), "frame": pa.int64(), "time_s": pa.float64(), "zone": pa.string()}
    types |= dict.fromkeys(names, pa.float64())
    convert = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True, null_values=[""])
    with (
        pyarrow.csv.open_csv(source, convert_options=convert) as reader,
        pyarrow.parquet.ParquetWriter(target, pa.schema(list(types.items()))) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
