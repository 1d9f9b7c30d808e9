"""What `icnet serve` says before it serves."""

import sys

import pytest

from icnet.cli import run
from icnet.serve.limits import Limits
from icnet.serve.options import ServerOptions


@pytest.fixture
def asked(monkeypatch):
    """The options with which a server would run."""
    from icnet.serve import server

    seen = []
    monkeypatch.setattr(server, "serve", lambda options, started: seen.append(options) or True)
    return seen


def test_defaults_are_those_of_the_options(asked, monkeypatch):
    monkeypatch.delenv("ICNET_TOKEN", raising=False)
    assert run(["serve"]) == 0
    assert asked == [ServerOptions()]


def test_every_option_arrives(asked, tmp_path):
    (tmp_path / "token").write_text("abc\n")
    line = f"""serve --model a --model b --host 0.0.0.0 --port 1 --grpc-port 2 --token-file {tmp_path / "token"} --allow-host x
        --workers 5 --threads 2 --drain-seconds 3 --max-queue 0 --max-body-mib 1 --max-decompressed-mib 2
        --max-buffered-mib 3
        --max-megapixels 4 --max-json-depth 5 --max-header-kib 6 --header-seconds 7 --body-seconds 8 --idle-seconds 9
        --max-connections 10 --max-batch 11 --allow-origin http://y --tls-cert c --tls-key k"""
    assert run(line.split()) == 0
    (options,) = asked
    mib = 1 << 20
    assert options.limits == Limits(mib, 2 * mib, 3 * mib, 4_000_000, 5, 6144, 7, 8, 9, 10, 0, 11)
    assert (options.models, options.host, options.port, options.grpc_port) == (("a", "b"), "0.0.0.0", 1, 2)
    assert (options.token, options.hosts, options.origins) == ("abc", ("x",), ("http://y",))
    assert (options.workers, options.threads, options.drain_seconds) == (5, 2, 3)
    assert [str(path) for path in options.tls] == ["c", "k"]


def test_the_token_may_come_from_the_environment(asked, monkeypatch):
    monkeypatch.setenv("ICNET_TOKEN", "abc")
    assert run(["serve", "--host", "0.0.0.0", "--no-grpc"]) == 0
    assert (asked[0].token, asked[0].grpc_port) == ("abc", None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "--token-file"),
        (["--tls-cert", "x.pem"], "go together"),
        (["--token-file", "missing"], "cannot read"),
        (["--max-queue", "-1"], "--max-queue"),
        (["--max-body-mib", "nan"], "0.001"),
        (["--model", "nothing.xml", "--port", "0"], "no model file at nothing.xml"),
        (["--tls-cert", "no.pem", "--tls-key", "no.pem", "--port", "0"], "no.pem"),
    ],
)
def test_mistakes_are_one_line(arguments, said, capfd, monkeypatch, tmp_path):
    monkeypatch.delenv("ICNET_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run(["serve", *arguments]) == 2
    line = capfd.readouterr().err
    assert said in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("token", ["", "two words", "ümlaut", "two\nlines"])
def test_a_token_that_no_header_can_carry_is_refused(token, capfd, tmp_path):
    (tmp_path / "token").write_text(token, encoding="utf-8")
    assert run(["serve", "--token-file", str(tmp_path / "token")]) == 2
    assert "one line" in capfd.readouterr().err


def test_without_the_extra_it_says_what_to_install(capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "icnet.serve.server", None)
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert run(["serve"]) == 2
    assert "pip install 'icnet[serve]'" in capfd.readouterr().err
