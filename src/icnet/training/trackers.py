"""Where a run is followed besides its CSV table: TensorBoard, MLflow or nowhere. All write files and open no connection."""

import json
import os
import time
from pathlib import Path
from typing import Any, Literal, Protocol

from icnet.base.errors import OutputError, UsageError
from icnet.base.files import write_bytes
from icnet.base.stderr import native_messages_dropped

TrackerName = Literal["tensorboard", "mlflow", "none"]

_STORE, _RUN = "mlruns", "icnet-run.json"
"""MLflow's folder in that of a run, and the file in it that says under which id the run goes on."""


class Tracker(Protocol):
    """What a run's figures are sent to."""

    def write(self, step: int, values: dict[str, float]) -> None:
        """Take the figures after `step` steps."""
        ...

    def close(self) -> None:
        """The run, or this part of it, has ended."""
        ...


def open_tracker(name: TrackerName, folder: Path, step: int, recipe: dict[str, Any]) -> Tracker | None:
    """Open the tracker of a run in `folder` that goes on after `step`.

    Args:
        name: which; `none` gives None.
        folder: of the run.
        step: the last one that the log has.
        recipe: of the run, told once.

    Raises:
        UsageError: the package of the tracker is not installed.
        OutputError: its files cannot be written.
    """
    match name:
        case "none":
            return None
        case "tensorboard":
            return _TensorBoard(folder / "tensorboard", step)
        case "mlflow":
            return _MLflow(folder, recipe)


class _TensorBoard:
    """Event files; needs no TensorFlow."""

    def __init__(self, folder: Path, step: int) -> None:
        with native_messages_dropped():  # TensorBoard loads TensorFlow where it is installed, and that has things to say
            try:
                from tensorboard.compat.proto.event_pb2 import Event, SessionLog
                from tensorboard.compat.proto.summary_pb2 import Summary
                from tensorboard.summary.writer.event_file_writer import EventFileWriter
            except ImportError as error:
                raise UsageError("TensorBoard is not installed: run pip install tensorboard, or give --tracker none") from error
            self._events = EventFileWriter(str(folder))
        self._event, self._summary = Event, Summary
        # Tells TensorBoard to forget what killed parts of the run wrote from this step on.
        self._events.add_event(Event(wall_time=time.time(), step=step + 1, session_log=SessionLog(status=SessionLog.START)))
        self._events.flush()

    def write(self, step: int, values: dict[str, float]) -> None:
        scalars = [self._summary.Value(tag=key, simple_value=value) for key, value in values.items()]
        self._events.add_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=scalars)))
        self._events.flush()

    def close(self) -> None:
        self._events.close()


class _MLflow:
    """MLflow's file store in the run's own folder. What a killed part of the run wrote stays, beside what is done again."""

    def __init__(self, folder: Path, recipe: dict[str, Any]) -> None:
        # Usage tracking is on unless told otherwise; the file store, which needs no database, is off.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError as error:
            raise UsageError("MLflow is not installed: run pip install 'icnet[mlflow]', or give another --tracker") from error
        self._metric, store = Metric, folder / _STORE
        try:
            self._client = MlflowClient(tracking_uri=store.resolve().as_uri())
            self._run = self._found(store / _RUN) or ""
            if not self._run:
                experiment = self._client.get_experiment_by_name("icnet")
                kept = experiment.experiment_id if experiment else self._client.create_experiment("icnet")
                self._run = self._client.create_run(kept, run_name=folder.resolve().name).info.run_id
                params = [Param(key, str(value)[:6000]) for key, value in recipe.items()]
                self._client.log_batch(self._run, params=params)
                write_bytes(store / _RUN, json.dumps({"run": self._run}).encode())
        except OSError as error:
            raise OutputError(
                f"cannot write {store}: {error.strerror or error}; choose another place or free some space"
            ) from error

    def _found(self, path: Path) -> str | None:
        from mlflow.exceptions import MlflowException

        try:
            run = str(json.loads(path.read_text())["run"])
            self._client.update_run(run, status="RUNNING")
            return run
        except (OSError, ValueError, KeyError, TypeError, MlflowException):
            return None

    def write(self, step: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        self._client.log_batch(self._run, metrics=[self._metric(key, value, now, step) for key, value in values.items()])

    def close(self) -> None:
        self._client.set_terminated(self._run)
