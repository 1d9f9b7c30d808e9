"""Processes of our own that do what could take this one down."""

import os
import sys


def child(module: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a process that runs a module of this project as its main program.

    No module is taken from the folder where a user happens to be: -P, and no empty entry in the path.
    """
    return [sys.executable, "-P", "-m", module], os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
