"""A program on one of Keras's backends, in a process of its own: a process has one backend only."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_on(backend: str, code: str, folder: Path, **settings: str) -> dict[str, Any]:
    """The JSON document that `code` prints last, with a `backend` in it; its arguments are this folder and `folder`."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", **settings}
    command = [sys.executable, "-c", code, str(Path(__file__).resolve().parent), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["backend"] == backend
    return result
