"""What the processor and the memory of this machine are, as far as the system tells."""

import os
import platform
from functools import cache
from pathlib import Path

_KNOWN = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm")
"""Vector instructions that decide the speed, by Linux's names."""


def processor() -> str:
    """The processor's name."""
    return _facts().get("model name") or platform.processor() or platform.machine()


def instructions() -> list[str]:
    """Those of the vector instructions that decide the speed which it has; none where the system is not Linux."""
    flags = set((_facts().get("flags") or _facts().get("Features") or "").split())
    return [name for name in _KNOWN if name in flags]


def memory_bytes() -> tuple[int, int] | None:
    """All memory, and what of it is free or could be; None if the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = {name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines)}
        return sizes["MemTotal"], sizes["MemAvailable"]
    except (OSError, KeyError, ValueError, IndexError):  # no Linux
        pass
    if hasattr(os, "sysconf") and {"SC_PHYS_PAGES", "SC_AVPHYS_PAGES"} <= set(os.sysconf_names):
        pages = os.sysconf("SC_PAGE_SIZE")
        return os.sysconf("SC_PHYS_PAGES") * pages, os.sysconf("SC_AVPHYS_PAGES") * pages
    return None


@cache
def _facts() -> dict[str, str]:
    """Of the first processor in /proc/cpuinfo; empty where there is none."""
    facts: dict[str, str] = {}
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.is_file() else ():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    return facts
