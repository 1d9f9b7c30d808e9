import csv
import json

import numpy as np
import pytest

from icnet.base.classes import CAMVID, Classes
from icnet.base.errors import OutputError, UsageError
from icnet.media import table as module
from icnet.media.table import Table
from icnet.results.zones import Zones, read_zones
from icnet.runtime.segmenter import Segmentation

CLASSES = np.zeros((10, 20), np.uint8)
CLASSES[:, 10:] = 3
HALVES = Segmentation(np.zeros((10, 20, 3), np.uint8), CLASSES, CAMVID)
ALL = range(12)


def rows(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def zones(tmp_path):
    document = {"left, a": [[0, 0], [10, 0], [10, 10], [0, 10]], "far": [[100, 100], [110, 100], [110, 110]]}
    (tmp_path / "zones.json").write_text(json.dumps(document))
    return read_zones(tmp_path / "zones.json")


def test_rows_of_image_and_zones(tmp_path, zones):
    with Table(tmp_path / "new" / "t.csv", CAMVID, ALL, zones) as table:
        table.add("ü,x.mp4", 0, 0.0, HALVES)
        table.add("ü,x.mp4", 1, 1 / 30, HALVES)
        table.add("a.png", 0, None, HALVES)
    read = rows(tmp_path / "new" / "t.csv")
    assert [(row["input"], row["frame"], row["time_s"], row["zone"]) for row in read[:4]] == [
        ("ü,x.mp4", "0", "0.0", ""),
        ("ü,x.mp4", "0", "0.0", "left, a"),
        ("ü,x.mp4", "0", "0.0", "far"),
        ("ü,x.mp4", "1", "0.033333", ""),
    ]
    assert read[6]["time_s"] == ""
    assert [(row["Sky"], row["Road"]) for row in read[:3]] == [("0.5", "0.5"), ("1.0", "0.0"), ("", "")]
    assert list(read[0])[4:] == list(CAMVID.names)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["t.csv"]


@pytest.mark.parametrize("name", ["=1+1", "+x", "-x", "@x"])
def test_no_name_is_a_formula(tmp_path, name):
    with Table(tmp_path / "t.csv", CAMVID, ALL, Zones({name: np.array([[0, 0], [10, 0], [10, 10]])})) as table:
        table.add(name, 0, None, HALVES)
    assert [(row["input"], row["zone"]) for row in rows(tmp_path / "t.csv")] == [(f"./{name}", ""), (f"./{name}", f"'{name}")]
    assert module.has_rows(module.count_rows(tmp_path / "t.csv"), name, 2)


def test_no_name_steers_a_terminal(tmp_path):
    name = "a\x1b[31m\n\udcffü.png"
    with Table(tmp_path / "t.csv", CAMVID, ALL) as table:
        table.add(name, 0, None, HALVES)
    assert [row["input"] for row in rows(tmp_path / "t.csv")] == ["a\\x1b[31m\\n\\udcffü.png"]
    assert module.has_rows(module.count_rows(tmp_path / "t.csv"), name, 1)


def test_classes_that_are_called_like_a_column_or_a_formula(tmp_path):
    table = Classes(("zone", "=1+1", "frame"))
    with Table(tmp_path / "t.csv", table, (0, 1, 2)) as written:
        written.add("a", 0, None, Segmentation(np.zeros((1, 4, 3), np.uint8), np.array([[0, 1, 1, 2]], np.uint8), table))
    (row,) = rows(tmp_path / "t.csv")
    assert [row[name] for name in ("zone", "frame", "class zone", "'=1+1", "class frame")] == ["", "0", "0.25", "0.5", "0.25"]


def test_parquet_has_types(tmp_path, zones):
    parquet = pytest.importorskip("pyarrow.parquet")
    with Table(tmp_path / "t.parquet", CAMVID, (3, 4), zones) as table:
        for frame in range(50):
            table.add("v.mp4", frame, frame / 30, HALVES)
        table.add("a.png", 0, None, HALVES)
    read = parquet.read_table(tmp_path / "t.parquet")
    assert read.column_names == ["input", "frame", "time_s", "zone", "Road", "Pavement"]
    assert [str(kind) for kind in read.schema.types] == ["string", "int64", "double", "string", "double", "double"]
    assert read.num_rows == 3 * 51
    first, second, third = read.slice(3, 3).to_pylist()
    assert first == {"input": "v.mp4", "frame": 1, "time_s": 0.033333, "zone": None, "Road": 0.5, "Pavement": 0.0}
    assert (second["zone"], second["Road"], third["zone"], third["Road"]) == ("left, a", 0.0, "far", None)
    assert read.slice(150, 1).to_pylist()[0]["time_s"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.parquet", "zones.json"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("killed", [True, False])
def test_a_resumed_table_keeps_the_rows_of_what_is_done(tmp_path, suffix, killed):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"t.{suffix}"
    table = Table(path, CAMVID, ALL, None)
    for name in ("a", "b", "c"):
        table.add(name, 0, None, HALVES)
        table.flush()
    if killed:
        with (tmp_path / "t.partial.csv").open("a") as file:
            file.write("d,0,,")  # torn
    else:
        table.__exit__(None)
    with Table(path, CAMVID, ALL, None, keep={"a", "c"}) as table:
        table.add("b", 0, None, HALVES)
    if suffix == "csv":
        read = rows(path)
    else:
        import pyarrow.parquet

        read = pyarrow.parquet.read_table(path).to_pylist()
    assert [row["input"] for row in read] == ["a", "c", "b"]
    assert {float(row["Road"]) for row in read} == {0.5}


def test_after_an_error_the_old_table_stays(tmp_path):
    (tmp_path / "t.csv").write_text("old")

    def fail() -> None:
        with Table(tmp_path / "t.csv", CAMVID, ALL, None) as table:
            table.add("a", 0, None, HALVES)
            raise OutputError("full")

    with pytest.raises(OutputError):
        fail()
    assert (tmp_path / "t.csv").read_text() == "old"


def test_bad_names_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"must end in \.csv or \.parquet"):
        Table(tmp_path / "t.xls", CAMVID, ALL, None)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs pyarrow: pip install"):
        Table(tmp_path / "t.parquet", CAMVID, ALL, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        Table(tmp_path / "file" / "t.csv", CAMVID, ALL, None)
