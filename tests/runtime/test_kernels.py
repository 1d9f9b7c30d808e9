"""The C kernels under the address and undefined-behaviour sanitizers, on odd sizes and values."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kernel_fuzz
import pytest

from icnet.runtime import kernels

SOURCE = Path(kernels.__file__).with_suffix(".c")
SANITIZERS = "-fsanitize=address,undefined,float-cast-overflow"
COMPILER = shutil.which("gcc")

FAULTS = {
    "writes one pixel too many": ("for (int32_t x = 0; x < size; x++) {", "for (int32_t x = 0; x <= size; x++) {", "overflow"),
    "blends with the wrong row": ("map->below[y] * map->width", "(map->below[y] + 1) * map->width", "classes differ"),
    "casts what no byte holds": ("total[x] > 0.5f ?", "1 ?", "outside the range of representable values"),
    "shifts a number too far": ("exponent = exponent < 80.0f ? exponent : 80.0f;", "", "runtime error"),
    "takes the last of equal classes": ("row[x] > best[x]", "row[x] >= best[x]", "classes differ"),
    "has another scale": ("(255.0f / total[x]", "(240.0f / total[x]", "confidence differ"),
    "reads behind the last class": ("index < count; index++", "index <= count; index++", "heap-buffer-overflow"),
}
"""What is done wrong: the right piece of source, the wrong one, and what is said of it."""


def fuzzed(folder: Path, source: str, *, seconds: float, seed: int = 0) -> subprocess.CompletedProcess:
    (folder / "kernels.c").write_text(source)
    # -U: copies for several CPUs are chosen before the sanitizer's runtime has begun
    flags = ["-O1", "-g", "-shared", "-fPIC", "-U__gnu_linux__", SANITIZERS, "-fno-sanitize-recover=all"]
    subprocess.run([COMPILER, *flags, "kernels.c", "-o", "kernels.so", "-lm"], cwd=folder, check=True)
    runtimes = [
        subprocess.run([COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = {**os.environ, "LD_PRELOAD": " ".join(runtimes), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}
    command = [sys.executable, "-W", "ignore", kernel_fuzz.__file__, str(folder / "kernels.so"), str(seconds), str(seed)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.fixture(scope="module", autouse=True)
def sanitizers(tmp_path_factory) -> None:
    if COMPILER is None:
        pytest.skip("needs gcc")
    probe = tmp_path_factory.mktemp("probe") / "probe.c"
    probe.write_text("int main(void) { return 0; }")
    if subprocess.run([COMPILER, SANITIZERS, str(probe), "-o", str(probe.with_suffix(""))], capture_output=True).returncode:
        pytest.skip("needs gcc's sanitizers")


def test_odd_sizes_and_values_break_nothing(tmp_path, seed, record_property):
    done = fuzzed(tmp_path, SOURCE.read_text(), seconds=3, seed=seed)
    assert done.returncode == 0, done.stderr[-3000:]
    record_property("cases", done.stdout.split()[0])
    assert int(done.stdout.split()[0]) >= 50


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(fault, tmp_path):
    right, wrong, said = FAULTS[fault]
    source = SOURCE.read_text()
    assert right in source
    done = fuzzed(tmp_path, source.replace(right, wrong), seconds=0)
    assert done.returncode != 0
    assert said in done.stderr, done.stderr[-3000:]
