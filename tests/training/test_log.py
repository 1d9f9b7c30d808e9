import csv
import os
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from icnet.base.errors import OutputError, UsageError
from icnet.training.log import COLUMNS, TrainingLog
from icnet.training.trackers import open_tracker

VALUES = {"epoch": 1.0, "minutes": 0.5, "images_per_second": 3.0, "learning_rate": 1e-3, "loss": 1 / 3}


def write(folder, start: int, *steps: int, **values) -> None:
    log = TrainingLog(folder, start, open_tracker("tensorboard", folder, start, {}))
    for step in steps:
        log.write(step, VALUES | values)
    log.close()


def rows(folder) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_line_is_on_the_disk_when_write_returns(tmp_path, monkeypatch):
    log, synced = TrainingLog(tmp_path, 0), []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    log.write(4, VALUES | {"miou_strict": 0.5, "miou_omz": 0.75})
    assert synced == [(tmp_path / "log.csv").stat().st_size]
    assert rows(tmp_path) == [
        dict(zip(COLUMNS, ("1.0", "4", "0.5", "3.0", "0.001", "0.3333333333333333", "0.5", "0.75"), strict=True))
    ]
    log.close()


def test_lines_that_will_be_done_again_are_dropped(tmp_path):
    write(tmp_path, 0, 4, 8, 12)
    before = (tmp_path / "log.csv").read_bytes()
    write(tmp_path, 8)
    assert [row["step"] for row in rows(tmp_path)] == ["4", "8"]
    write(tmp_path, 8, 12)
    assert (tmp_path / "log.csv").read_bytes() == before


@pytest.mark.parametrize("torn", ["2.0", "2.0,8,0.5,3.0,0.001,0.33,0.5,0.7", "2.0,8,0.5\r\n", "\r\n", "2.0,,,,,,,\r\n"])
def test_a_torn_line_is_dropped(torn, tmp_path):
    write(tmp_path, 0, 4)
    before = (tmp_path / "log.csv").read_bytes()
    (tmp_path / "log.csv").write_bytes(before + torn.encode())
    write(tmp_path, 99)
    assert (tmp_path / "log.csv").read_bytes() == before


@pytest.mark.parametrize("text", ["", "epoch,st", "nothing\r\nof\r\nthe,kind\r\n"])
def test_a_table_that_is_none_is_begun_anew(text, tmp_path):
    (tmp_path / "log.csv").write_text(text)
    write(tmp_path, 99, 100)
    assert [row["step"] for row in rows(tmp_path)] == ["100"]


def test_tensorboard_forgets_what_is_done_again(tmp_path):
    write(tmp_path, 0, 4, 8, loss=1.0)
    write(tmp_path, 4, 8, 12, loss=2.0)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(4, 1.0), (8, 2.0), (12, 2.0)]


def test_mlflow_goes_on_with_its_run_and_opens_no_connection(tmp_path):
    pytest.importorskip("mlflow")
    code = f"""
import sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)
from icnet.training.trackers import open_tracker
for first in (4, 8):
    tracker = open_tracker("mlflow", Path({str(tmp_path)!r}), first, {{"epochs": 3}})
    tracker.write(first, {{"loss": 1 / first}})
    tracker.close()
import os, time
from mlflow import MlflowClient
client = MlflowClient(tracking_uri=Path({str(tmp_path / "mlruns")!r}).as_uri())
(run,) = client.search_runs([client.get_experiment_by_name("icnet").experiment_id])
history = client.get_metric_history(run.info.run_id, "loss")
time.sleep(1)  # for what a thread may send
print([(one.step, one.value) for one in history], run.data.params, run.info.status, opened)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip().endswith("[(4, 0.25), (8, 0.125)] {'epochs': '3'} FINISHED []")


def test_trackers_that_are_not_installed_or_not_wanted(tmp_path, monkeypatch):
    assert open_tracker("none", tmp_path, 0, {}) is None
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match=r"icnet\[mlflow\]"):
        open_tracker("mlflow", tmp_path, 0, {})
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    log = TrainingLog(tmp_path, 0)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match="No space left"):
        log.write(4, VALUES)
    log.close()
