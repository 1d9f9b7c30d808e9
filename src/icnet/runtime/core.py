"""OpenVINO's core, one for the process."""

import ctypes
import os
from collections.abc import Callable, Iterable
from functools import cache

import openvino as ov

from icnet.base.errors import UsageError


def core() -> ov.Core:
    """The core, which lives as long as the process.

    Its CPU plugin gives the thread that loads it another stack for signals, and takes that away with the last core and model,
    whichever thread drops them: the next signal then crashes the process.

    Raises:
        UsageError: see `check_process`.
    """
    found, process = _core()
    check_process(process)
    return found


def check_process(process: int) -> None:
    """Refuse to use OpenVINO in a fork of the process that loaded it: its threads stayed there, and the call would never end.

    Raises:
        UsageError: `process` is another than this one.
    """
    if process != os.getpid():
        raise UsageError(
            "a model was loaded before this process was forked off, and OpenVINO does not work in a fork: load the first model "
            'in the child, or start children with the method "spawn" (multiprocessing.set_start_method)'
        )


@cache
def _core() -> tuple[ov.Core, int]:
    found = ov.Core()
    never_free_in_forks(lambda: [found])
    return found, os.getpid()


def never_free_in_forks(objects: Callable[[], Iterable[object]]) -> None:
    """Let forks of this process leak OpenVINO's objects, which, when freed, would wait for ever for threads of the parent."""

    def leak() -> None:
        for one in objects():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=leak)
