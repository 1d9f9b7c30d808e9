import errno
import os
import subprocess
import sys

import pytest

from icnet import __version__, cli
from icnet.base.errors import DataError

DISK_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "some/file")


def test_version_and_help(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"icnet {__version__}\n"
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for verb in ("segment", "demo", "info", "evaluate", "train", "export"):
        assert f"\n  {verb} " in shown


def test_no_verb_shows_the_help_as_wrong_usage(capsys):
    assert cli.run([]) == 2
    assert "Usage: icnet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["fly"], "icnet: No such command 'fly' (see `icnet --help`)\n"),
        (["segment", "x.png"], "icnet: Missing option '--output' / '-o' (see `icnet segment --help`)\n"),
        (["segment", "0", "-o", "x", "--seconds", "soon"], "icnet: Invalid value for '--seconds': "),
        (["segment", "0", "-o", "x", "--seconds", "inf"], "icnet: Invalid value for '--seconds': Input should be less"),
        (["demo", "-o", "x", "--seconds", "inf"], "icnet: Invalid value for '--seconds': inf is not a finite number"),
        (["segment", "99999999999", "-o", "x"], "icnet: no such file or folder: 99999999999; a camera's number has"),
        (["segment", "x" * 256, "-o", "x"], "icnet: cannot look for xxx"),
        (["info", "x" * 256 + ".xml"], "icnet: the system refused xxx"),
        (["info", "nonsense"], "icnet: unknown model 'nonsense'"),
        (
            ["info", "icnet-camvid-ava-compact-60-0001-int8"],
            "`icnet export icnet-camvid-ava-compact-60-0001 -o models --precision",
        ),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, line):
    assert cli.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("a [bold] line"), 2, "icnet: a [bold] line\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            DISK_FULL,
            2,
            f"icnet: the system refused some/file: {DISK_FULL.strerror}; check the path, its permissions and the free space\n",
        ),
        (
            OSError("odd"),
            2,
            "icnet: the system refused to read or write: odd; check the path, its permissions and the free space\n",
        ),
    ],
)
def test_exceptions_become_exit_codes(monkeypatch, capsys, error, code, line):
    def fail(model: str) -> None:
        raise error

    monkeypatch.setattr("icnet.runtime.facts.model_facts", fail)
    assert cli.run(["info"]) == code
    assert capsys.readouterr().err == line


def test_bugs_keep_their_traceback(monkeypatch):
    def fail(model: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("icnet.runtime.facts.model_facts", fail)
    with pytest.raises(ZeroDivisionError):
        cli.run(["info"])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_behind_stdout_is_one_line():
    command = [sys.executable, "-m", "icnet", "--help"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=buffered, check=False)
    assert result.stderr.startswith(b"icnet: the system refused to read or write: ")
    assert result.stderr.count(b"\n") == 1
    assert result.returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX pipes")
def test_a_reader_that_leaves_early_is_no_error():
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run([sys.executable, "-m", "icnet", "--help"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert result.stderr == b""
    assert result.returncode == 1


def test_a_closed_stdout_is_no_crash():
    done = subprocess.run(f"{sys.executable} -m icnet --version >&-", shell=True, stderr=subprocess.PIPE, check=False)
    assert b"Traceback" not in done.stderr
