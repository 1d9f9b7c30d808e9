"""What the commands share: one line for people on stderr, one JSON document for programs on stdout."""

import json
import math
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from icnet.base.errors import UsageError
from icnet.base.stderr import messages_seen

_stderr = Console(stderr=True)


def plain(text: str) -> str:
    """Text from outside, such as a file name, with what would steer the terminal spelled out."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def say(line: str) -> None:
    """Print one `plain` line on stderr, also while a progress bar is shown there."""
    with messages_seen():  # a picture that is being read elsewhere may have silenced standard error
        _stderr.print(plain(line), markup=False, highlight=False, soft_wrap=True)


def show(line: str) -> None:
    """Print one `plain` line of a command's result on stdout."""
    typer.echo(plain(line))


def complain(problem: object) -> None:
    """Print a user's problem on stderr."""
    say(f"icnet: {problem}")


def emit(document: dict[str, Any]) -> None:
    """Print a JSON document on stdout."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def given(**options: Any) -> dict[str, Any]:
    """Only the options that were given: every default stands in its dataclass."""
    return {name: value for name, value in options.items() if value is not None}


def finite(value: float | None) -> float | None:
    """Refuse `nan` and `inf`, which are numbers to Typer; for the `callback` of an option."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def size_hw(text: str, option: str) -> tuple[int, int]:
    """H and W that an option was given.

    Raises:
        UsageError: it is no size.
    """
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not match:
        raise UsageError(f"{option} {text!r} is no size: write height x width, such as 352x480")
    return int(match[1]), int(match[2])


def progress() -> Progress:
    """Bars on stderr, for a `with` statement; they vanish at its end and are not drawn where stderr is no terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=_stderr, transient=True, disable=not _stderr.is_terminal)


@contextmanager
def steps(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr whose length is known when the work has begun: what it gives takes how many of how many are done."""
    with progress() as bars:
        bar = bars.add_task(text, total=None)
        yield lambda done, of: bars.update(bar, completed=done, total=of)


@contextmanager
def interrupt_sets(stop: threading.Event) -> Iterator[list[int]]:
    """Within the block the first Ctrl-C or SIGTERM sets `stop`; the second one interrupts as usual.

    Yields:
        The numbers of the signals that came.
    """
    came: list[int] = []

    def handle(number: int, frame: object) -> None:
        came.append(number)
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
