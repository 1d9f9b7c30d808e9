"""A program on one of Keras's backends, in a process of its own: a process has one backend only."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling takes longer than all that is computed
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def run_on(backend: str, code: str, folder: Path) -> dict[str, Any]:
    """The JSON document that `code` prints last, with a `backend` in it; its arguments are this folder and `folder`."""
    environment = {**os.environ, **ENVIRONMENT, "KERAS_BACKEND": backend, "JAX_COMPILATION_CACHE_DIR": str(folder / "jax")}
    command = [sys.executable, "-c", code, str(Path(__file__).resolve().parent), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["backend"] == backend
    return result
