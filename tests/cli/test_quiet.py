"""No command talks to anybody that it was not told to, or writes anywhere but into its cache and its outputs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from camvid_folder import camvid_folder
from segment_runs import tiny_model
from tiny_network import SMALL

from icnet import cli

VERBS = ("info", "verify", "doctor", "segment", "demo", "serve"), ("evaluate", "train", "push", "export", "benchmark")
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "KERAS_BACKEND", "OMP_NUM_THREADS")
WATCHED = Path(__file__).parents[1] / "support" / "watched.py"
STRACE = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", "calls"]
"""Also sees what C libraries do."""


def told(folder: Path, *command: str) -> list[str]:
    """Runs a command in `folder` with a home and a place for temporary files of its own; gives its calls of other machines."""
    places = {name: folder / name for name in ("HOME", "TMPDIR", "ICNET_CACHE")}
    for place in places.values():
        place.mkdir(exist_ok=True)
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}  # a library may be quiet where CI is set
    traced = shutil.which("strace") and not subprocess.run([*STRACE, "true"], cwd=folder, capture_output=True).returncode
    command = (*(STRACE if traced else ()), sys.executable, *command)
    done = subprocess.run(command, cwd=folder, env=environment | places, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for name in ("log", "calls") if (folder / name).exists() for line in (folder / name).read_text().splitlines()]
    return [line for line in lines if "socket." in line or "AF_INET" in line]


@pytest.mark.parametrize("verbs", VERBS)
def test_commands_talk_to_nobody_and_leave_the_home_alone(tmp_path, verbs):
    if "export" in verbs:
        for library in ("torch", "nncf", "onnxruntime", "matplotlib", "huggingface_hub"):
            pytest.importorskip(library)
    camvid_folder(tmp_path / "data", train=3, val=2)
    tiny_model(tmp_path, SMALL)
    calls = told(tmp_path, str(WATCHED), "log", "data", *verbs)
    assert [line for line in calls if "127.0.0.1" not in line] == []
    assert not list((tmp_path / "HOME").rglob("*"))
    assert not list((tmp_path / "TMPDIR").rglob("*"))


def test_every_verb_is_watched():
    assert {command.callback.__name__ for command in cli.app.registered_commands} == {verb for verbs in VERBS for verb in verbs}


def test_a_library_that_reports_is_seen(tmp_path):
    talk = f"import sys, runpy\nsys.argv[1:] = ['log', 'data']\nrunpy.run_path({str(WATCHED)!r})\nimport socket\n"
    talk += "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.connect(('192.0.2.1', 9))"
    assert any("192.0.2.1" in line for line in told(tmp_path, "-c", talk))
