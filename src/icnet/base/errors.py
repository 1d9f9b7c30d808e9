"""What a user can cause, each with one line that says what happened and what to do."""

from importlib import import_module
from typing import Any


class IcnetError(Exception):
    """Base of every error that a user can cause; its text is one line, shown without a traceback."""


class UsageError(IcnetError):
    """An argument or option is wrong, or there is nothing to do."""


class InputError(IcnetError):
    """An image, a video or a camera cannot be read."""


class OutputError(IcnetError):
    """A result cannot be written.

    Attributes:
        lasting: other results could not be written either, because the disk is full, broken or read-only.
    """

    def __init__(self, text: str, *, lasting: bool = True) -> None:
        super().__init__(text)
        self.lasting = lasting


class DataError(IcnetError):
    """A dataset folder is incomplete or inconsistent."""


class TrainingError(IcnetError):
    """A training run cannot go on."""


class ModelError(IcnetError):
    """A model name is unknown, or a weight file is missing, damaged or of another network."""


def require(package: str, task: str, install: str) -> Any:
    """Import a package that not every installation has.

    Args:
        package: to import.
        task: what needs it, such as `an export needs PyYAML`.
        install: what pip has to install.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise UsageError(f"{task}, which is not installed: run pip install {install}") from error


def check_counts(options: object, *names: str) -> None:
    """Refuse options whose numbers of something are below 1; None is taken.

    Raises:
        UsageError: names the first of them.
    """
    for name in names:
        if (value := getattr(options, name)) is not None and value < 1:
            raise UsageError(f"the number of {name} must be 1 or more, not {value}")
