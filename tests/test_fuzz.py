"""Coverage-guided fuzzing of what reads foreign bytes: a moment here, a minute each for `tools/torture.py`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("atheris", reason="needs Atheris, which is for Linux")
PROGRAM = Path(__file__).parent / "support" / "coverage_fuzz.py"
SECONDS = 60 if "ICNET_TEST_SEED" in os.environ else 1


def fuzzed(target, folder, seed, seconds) -> subprocess.CompletedProcess:
    options = [f"-seed={seed + 1}", f"-max_total_time={seconds}", "-max_len=4096"]
    return subprocess.run([sys.executable, str(PROGRAM), target, str(folder), *options], capture_output=True, text=True)


@pytest.mark.parametrize("target", ["sniffing", "request", "listing", "weights", "told", "labels"])
def test_no_bytes_break_what_reads_them(target, tmp_path, seed, record_property):
    done = fuzzed(target, tmp_path, seed, SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    record_property("cases", re.search(r"Done (\d+) runs", done.stderr)[1])
    record_property("figure", "coverage " + re.findall(r"cov: (\d+)", done.stderr)[-1])


def test_a_fault_that_chance_would_not_find_is_found(tmp_path):
    done = fuzzed("planted", tmp_path, 0, 60)
    assert done.returncode != 0
    assert "ValueError: found" in done.stdout + done.stderr
