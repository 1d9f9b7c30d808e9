import json

import cv2
import numpy as np
import pytest

from icnet import cli
from icnet.measure import benchmark as speed
from icnet.measure.benchmark import Benchmark, BenchmarkOptions, Timing


@pytest.fixture(autouse=True)
def measured(monkeypatch, tmp_path) -> list[BenchmarkOptions]:
    """A finished benchmark, so that nothing need be measured; the options that were asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")  # no line of the table wraps
    asked = []

    def run(frame, *, options, report):
        assert frame.shape == (720, 960, 3)
        assert frame.dtype == np.uint8
        asked.append(options)
        timings = (
            Timing("dense fp32", "the reference", False, 270.0, 280.0, 220.0, 1.0, 0.0),
            Timing("compact", "ours", True, 27.0, 29.0, 700.0, 10.0, 0.1),
            Timing("unsteady", "other", True, 50.0, 90.0, 400.0, None, 0.41),
            Timing("short", "other", True, 51.0, 91.0, 401.0, None, 0.01),
        )
        machine = {
            "processor": "Some CPU",
            "system": "s",
            "cores": 4,
            "threads": 2,
            "instructions": ["avx2"],
            "decoding": "NumPy",
        }
        return Benchmark(machine, {"openvino": "1"}, options, {"fp32": 200.0, "int8": 800.0}, timings, {"dense int8": "no NNCF"})

    monkeypatch.setattr(speed, "benchmark", run)
    return asked


def test_json_is_all_that_stdout_holds(capsys, measured):
    assert cli.run(["benchmark", "--json", "--rounds", "3", "--threads", "2"]) == 0
    out, _ = capsys.readouterr()
    document = json.loads(out)
    assert [timing["ratio"] for timing in document["timings"]] == [1.0, 10.0, None, None]
    assert document["left_out"] == {"dense int8": "no NNCF"}
    assert document["ceiling"] == {"fp32": 200.0, "int8": 800.0}
    assert (measured[0].rounds, measured[0].threads) == (3, 2)


def test_table_and_picture(capsys, tmp_path):
    assert cli.run(["benchmark"]) == 0
    out, err = capsys.readouterr()
    assert "Some CPU, 2 of 4 cores, avx2" in out
    for text in (
        "270.0",
        "27.0",
        "10.00",
        "not stated",
        "41%",
        "too few rounds",
        "untrained",
        "left out: dense int8: no NNCF",
        "int8 800",
    ):
        assert text in " ".join(out.split()), text
    assert "benchmark.png" in err
    assert cv2.imread(str(tmp_path / "benchmark.png")) is not None


def test_no_picture_on_request(tmp_path):
    assert cli.run(["benchmark", "--no-picture"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_picture_without_a_format_is_refused_before_the_work(capsys, measured):
    assert cli.run(["benchmark", "--picture", "speeds.xyz"]) == 2
    assert "png" in capsys.readouterr().err
    assert not measured
