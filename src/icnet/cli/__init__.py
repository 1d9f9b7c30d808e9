"""The `icnet` command: one verb per module, each importing what it needs only when it runs."""

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from icnet import __version__
from icnet.base.cores import keep_libraries_to_cores
from icnet.base.errors import IcnetError
from icnet.base.places import keep_libraries_in_cache
from icnet.cli.benchmark import benchmark
from icnet.cli.data import data
from icnet.cli.demo import demo
from icnet.cli.doctor import doctor
from icnet.cli.evaluate import evaluate
from icnet.cli.export import export
from icnet.cli.info import info
from icnet.cli.push import push
from icnet.cli.segment import segment
from icnet.cli.serve import serve
from icnet.cli.terminal import complain
from icnet.cli.train import train
from icnet.cli.verify import verify

app = typer.Typer(name="icnet", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

_INTERRUPTED = 130  # what shells report for a command ended by Ctrl-C


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"icnet {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _icnet(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """Fast semantic segmentation of road scenes on ordinary machines."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


for verb in (segment, serve, demo, info, evaluate, train, export, push, verify, doctor, benchmark):
    app.command()(verb)
app.add_typer(data, name="data")


def run(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code; a user's mistake becomes one line on stderr.

    Args:
        arguments: without the program's name; those of this process if not given.

    Returns:
        0 done, 1 some inputs failed, 2 wrong usage or nothing done, 130 interrupted.
    """
    keep_libraries_in_cache()
    try:
        keep_libraries_to_cores()
        code = app(arguments, prog_name="icnet", standalone_mode=False)
        if sys.stdout is not None:  # closed by whoever started us
            sys.stdout.flush()  # here, where a closed pipe is still handled
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        _drop_unwritable()
        return 1
    except IcnetError as error:
        complain(error)
        return 2
    except OSError as error:
        paths = " and ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
        complain(
            f"the system refused {paths or 'to read or write'}: {error.strerror or error}; "
            "check the path, its permissions and the free space"
        )
        _drop_unwritable()
        return 2
    except RecursionError:
        complain(
            "folders or data are nested too deeply: expected at most some hundred levels; give a folder or file further down"
        )
        return 2
    except TyperException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "icnet"
        complain(f"{error.format_message().rstrip('.')} (see `{path} --help`)")
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED


def _drop_unwritable() -> None:
    """Let what stdout does not take vanish: Python flushes again at exit, and that must not complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Entry point of the `icnet` command."""
    _open_streams()
    sys.exit(run())


def _open_streams() -> None:
    """Replace standard streams that were closed by whoever started us: the next files that are opened would take their places."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            setattr(sys, name, open(os.open(os.devnull, os.O_RDWR), mode))  # noqa: SIM115 - it stays open
