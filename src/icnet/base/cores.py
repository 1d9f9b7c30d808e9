"""How many processor cores this process should use."""

import os
from functools import cache
from math import ceil, inf
from pathlib import Path, PurePosixPath

from icnet.base.errors import UsageError

VARIABLE = "ICNET_THREADS"


@cache
def available_cores() -> int:
    """What ICNET_THREADS says, or else the cores that this process sees, as far as its container may use their time.

    Raises:
        UsageError: the variable holds no number of threads.
    """
    given = os.environ.get(VARIABLE)
    if not given:
        return ceil(min(visible_cores(), time_limit()))
    if not given.isdecimal() or int(given) < 1:
        raise UsageError(f"{VARIABLE} is {given!r}: set it to a number of threads, 1 or more, or unset it")
    return int(given)


def visible_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_libraries_to_cores() -> None:
    """Let libraries that are loaded from now on start as many threads, where they would start more and the user says nothing."""
    if available_cores() < visible_cores():
        for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
            os.environ.setdefault(variable, str(available_cores()))


def time_limit(root: Path = Path("/")) -> float:
    """Cores' worth of time that the control groups of this process, version 1 or 2, allow; above 0, infinite without a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return inf
    limits = [inf]
    for controllers, name in (line.split(":", 2)[1:] for line in lines if line.count(":") >= 2):
        if not {"", "cpu"}.isdisjoint(controllers.split(",")):  # the empty one is version 2
            group = PurePosixPath(name.lstrip("/"))
            mounts = (root / "sys/fs/cgroup" / mount for mount in (controllers, "cpu", "unified"))
            limits += [_limit(mount / part) for mount in mounts for part in (group, *group.parents)]
    return min(limits)


def _limit(group: Path) -> float:
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            quota, period = " ".join((group / name).read_text() for name in names).split()
            return int(quota) / int(period) if int(quota) > 0 else inf
        except (OSError, ValueError, ZeroDivisionError):  # another version, or "max"
            continue
    return inf
