"""`icnet segment` where a service manager, a container or cron may run it."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from segment_runs import picture, tiny_model

LINUX_ROOT = sys.platform == "linux" and os.geteuid() == 0
UNKNOWN = "setpriv --reuid 4711 --clear-groups --inh-caps +dac_read_search --ambient-caps +dac_read_search"
PLACES = {
    "no home": "env -u HOME",
    "a home that cannot be written": "env -u ICNET_CACHE HOME=/proc/none",
    "an unknown user": f"{UNKNOWN} env -u HOME -u ICNET_CACHE",
    "no standard streams": "sh -c 'exec \"$@\" <&- >&- 2>&-' sh",
    "a read-only system": "unshare -m sh -c 'mount --bind out out && mount -o remount,bind,ro / && cd . && exec \"$@\"' sh",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user may look into, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("place", PLACES)
def test_a_picture_is_segmented_anywhere(tiny, folder, place):
    prefix = shlex.split(PLACES[place])
    if prefix[0] in ("setpriv", "unshare"):
        trial = prefix[: prefix.index("env")] if "env" in prefix else prefix[:2]
        if not LINUX_ROOT or subprocess.run([*trial, "true"], capture_output=True).returncode:
            pytest.skip(f"{prefix[0]} does not work here")
    tiny_model(folder, tiny)
    (folder / "a.png").write_bytes(cv2.imencode(".png", picture(0))[1])
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    command = [*prefix, sys.executable, "-m", "icnet", "segment", "a.png", "-o", "out", "--model", "tiny.safetensors"]
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    closed = place == "no standard streams"
    assert done.stderr == ("" if closed else "1 of 1 inputs segmented with tiny, results in out\n")
    (entry,) = map(json.loads, (folder / "out" / "report.jsonl").read_text().splitlines())
    assert entry["frames"] == 1
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["a.png", "a_overlay.png", "report.jsonl"]
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "out", "tiny.safetensors"]
