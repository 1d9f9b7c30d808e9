"""Class shares of every frame as a table, for spreadsheets and data frames."""

import csv
import importlib.util
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from icnet.base.classes import Classes
from icnet.base.errors import UsageError
from icnet.base.files import cannot_write, replacing
from icnet.results.zones import Zones
from icnet.runtime.segmenter import Segmentation

SUFFIXES = (".csv", ".parquet")

_KEYS = ("input", "frame", "time_s", "zone")
_DIGITS = 6
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet computes begins with one of these."""

_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Tables are looked at in terminals, too."""


def check_name(path: Path) -> None:
    """Refuse a table that could not be written.

    Raises:
        UsageError: its suffix is neither `.csv` nor `.parquet`, or the library for the latter is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"cannot write a table to {path}: its name must end in {' or '.join(SUFFIXES)}")
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UsageError(f"{path} needs pyarrow: pip install 'icnet[parquet]', or write a .csv")
    if path.is_dir():
        raise UsageError(f"{path} is a folder, expected a file for the table: choose another name")


class Table:
    """A table that is being written. Use it in a `with` statement.

    Its columns are `input`, `frame` (0 for a picture), `time_s` (empty for a picture), `zone` (empty for the whole image), and a
    share of each class, which is empty where a zone lies outside the image. What a spreadsheet would compute has `./` before it
    as an input, and an apostrophe as a zone or class. Rows go to `NAME.partial.csv` until the end.
    """

    def __init__(
        self, path: Path, table: Classes, wanted: Sequence[int], zones: Zones | None = None, *, keep: Collection[str] = ()
    ) -> None:
        """Begin a table.

        Args:
            path: ends in `.csv` or `.parquet`.
            table: names of the classes.
            wanted: class indices that become columns.
            zones: each becomes a row of its own.
            keep: names of inputs whose rows of an earlier table under this name are kept.

        Raises:
            UsageError: see `check_name`.
            OutputError: it cannot be written.
        """
        check_name(path)
        self._path, self._zones = path, zones
        self._names = [table.names[index] for index in wanted]
        self._partial = _partial(path)
        columns = [*_KEYS, *map(_column, self._names)]
        names = {_text(name) for name in keep}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._partial) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(row for row in (_earlier_rows(path) if keep else ()) if row.get("input") in names)
            self._file = self._partial.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise cannot_write(path, error) from error
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
            if kind is None and self._path.suffix.lower() == ".csv":
                self._partial.replace(self._path)
        except OSError as error:
            if kind is None:
                raise cannot_write(self._path, error) from error
        if kind is None and self._path.suffix.lower() == ".parquet":
            with replacing(self._path) as temporary:
                _to_parquet(self._partial, temporary, [_column(name) for name in self._names])
            with suppress(OSError):
                self._partial.unlink()

    def add(self, name: str, frame: int, time_s: float | None, segmentation: Segmentation) -> None:
        """Append the rows of a frame.

        Raises:
            OutputError: they cannot be written.
        """
        time = "" if time_s is None else round(time_s, _DIGITS)
        shares: dict[str, dict[str, float] | None] = {"": segmentation.shares()}
        if self._zones is not None:
            shares |= self._zones.shares(segmentation.classes, segmentation.table)
        try:
            for zone, of_class in shares.items():
                values = ["" if of_class is None else round(of_class[column], _DIGITS) for column in self._names]
                self._writer.writerow([_text(name), frame, time, _guarded(zone, "'"), *values])
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def flush(self) -> None:
        """Send the rows to the disk.

        Raises:
            OutputError: they cannot be written.
        """
        try:
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from error


def count_rows(path: Path) -> Counter[str]:
    """Rows of each input in an earlier table, finished or not; none if there is none. Names are as the table holds them."""
    return Counter(str(row.get("input")) for row in _earlier_rows(path))


def has_rows(rows: Counter[str], name: str, count: int) -> bool:
    """Whether `count_rows` found all rows of an input."""
    return rows[_text(name)] == count


def _column(name: str) -> str:
    """What the column of a class is called."""
    return f"class {name}" if name in _KEYS else _guarded(name, "'")


def _text(name: str) -> str:
    """A file name as text without control signs or bytes that are no text, which are spelled out, and that is no formula."""
    return _guarded(_STEERING.sub(lambda sign: sign[0].encode("unicode_escape").decode(), name), "./")


def _guarded(text: str, guard: str) -> str:
    return guard + text if text.startswith(_FORMULA) else text


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.stem}.partial.csv")


def _earlier_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a run that was killed, or of one that came to its end."""
    source = _partial(path) if _partial(path).is_file() else path
    try:
        if source.suffix.lower() == ".csv" and source.is_file():
            with source.open(newline="", encoding="utf-8", errors="replace") as file:
                yield from csv.DictReader(file)
        elif source.is_file():
            import pyarrow.parquet

            for batch in pyarrow.parquet.ParquetFile(source).iter_batches():
                yield from batch.to_pylist()
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"cannot read the table {source} ({error}): remove it, or leave --resume out") from error


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
