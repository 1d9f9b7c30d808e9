import os
from math import inf
from pathlib import Path

import pytest

from icnet.base import cores
from icnet.base.errors import UsageError


def system(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, inf),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "50000 100000",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "5:cpuacct,cpu:/docker/x\n1:name=systemd:/\n0::/\n",
                "sys/fs/cgroup/cpuacct,cpu/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpuacct,cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "1",
            },
            inf,
        ),
        ({"proc/self/cgroup": "nonsense\n0::/", "sys/fs/cgroup/cpu.max": "none"}, inf),
    ],
)
def test_the_quota_of_the_container(tmp_path, files, limit):
    assert cores.time_limit(system(tmp_path, files)) == limit


def test_threads_follow_variable_and_quota(monkeypatch):
    monkeypatch.setattr(cores, "time_limit", lambda: 1.2)
    monkeypatch.setattr(cores, "visible_cores", lambda: 8)
    for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", cores.VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    count = cores.available_cores.__wrapped__
    monkeypatch.setattr(cores, "available_cores", count)
    assert count() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    cores.keep_libraries_to_cores()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["TF_NUM_INTRAOP_THREADS"]) == ("7", "2")
    monkeypatch.setenv(cores.VARIABLE, "5")
    assert count() == 5
    for wrong in ("0", "-1", "x", "1.5"):
        monkeypatch.setenv(cores.VARIABLE, wrong)
        with pytest.raises(UsageError, match="number of threads"):
            count()
