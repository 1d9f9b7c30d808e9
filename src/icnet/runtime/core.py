"""OpenVINO's core, one for the process."""

from functools import cache

import openvino as ov


@cache
def core() -> ov.Core:
    """The core, which lives as long as the process.

    Its CPU plugin gives the thread that loads it another stack for signals, and takes that away with the last core and model,
    whichever thread drops them: the next signal then crashes the process.
    """
    return ov.Core()
