import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pictures_client import PNG, client_of, form, post, post_form, tiny_service
from starlette.testclient import TestClient

HOSTILE: list[bytes] = [
    *(b"../" * depth + b"etc/passwd" for depth in (1, 2, 8, 64)),
    *(b"..\\" * depth + b"windows\\win.ini" for depth in (1, 8)),
    b"/etc/passwd", b"//etc/passwd", b"/proc/self/environ", b"/dev/zero", b"/dev/stdin", b"/dev/tty", b"~/.ssh/id", b"~root/x",
    b"C:\\Windows\\System32\\config\\SAM", b"C:x.png", b"\\\\server\\share\\x.png", b"\\\\?\\C:\\x.png",
    b"\\\\.\\PhysicalDrive0", b"file:///etc/passwd", b"http://127.0.0.1:1/x.png", b"ftp://localhost/x", b"jar:file:x!/y",
    b"data:image/png;base64,AAAA", b"..", b".", b"", b" ", b"...", b"....//....//etc/passwd", b"..;/x", b"%2e%2e%2fetc%2fpasswd",
    b"%252e%252e%252f", b"%00.png", b"x.png\0.sh", b"\0", b"x%0d%0aSet-Cookie: a=b", b"x%0D%0A%0D%0A<script>", b"x\nX-Header: y",
    b"x\r\nX-Header: y", b"x\tq\x0b\x0c", b"\x1b[2Jx\x07", b"\x7f\x01\x02", b"CON", b"NUL.png", b"com1.png", b"aux",
    b"x.png:stream", b"x.png.", b"x.png ", b".htaccess", b"-rf", b"--help", b"$(touch x)", b"`touch x`", b"; touch x", b"|touch",
    b"x' OR '1'='1", b"<img src=x onerror=alert(1)>", b"%s%n%d{0}{x.__class__}", b"x; name=y", b"\\\"; name=\\\"file",
    b"..\xc0\xaf..\xc0\xafetc/passwd", b"\xff\xfe\x80", b"a" * 10_000, b"../" * 3_000,
    *(name.encode() for name in ("..\uff0f..\uff0fetc", "\u202egnp.exe", "\ufeffx.png", "\xe9/\xe9", "\u200b", "\U0001f642" * 9)),
]  # fmt: skip
"""File names as they stand in a form, unescaped."""

AUDITED: list[tuple[str, object]] = []
WATCHED = re.compile(r"open|import|os\.(?!putenv|unsetenv)|shutil|tempfile|glob|pathlib|subprocess|urllib|socket\.(con|getaddr)")


def audit(event: str, arguments: tuple) -> None:
    if WATCHED.match(event):
        AUDITED.append((event, arguments[0] if arguments else None))


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[TestClient]:
    with client_of(tiny_service(tmp_path_factory.mktemp("model"))) as client:
        yield client


@contextmanager
def watched() -> Iterator[list[tuple[str, object]]]:
    """What Python opens, creates, removes or connects to, in any thread; descriptors and the null device apart."""
    if not hasattr(sys, "_icnet_audited"):
        sys.addaudithook(audit)  # for good: there is no way to take it away
        sys._icnet_audited = True
    AUDITED.clear()
    seen: list[tuple[str, object]] = []
    yield seen
    seen += [(event, target) for event, target in AUDITED if target != os.devnull and not isinstance(target, int)]


def test_there_are_sixty_hostile_names_and_the_watch_sees(tmp_path):
    assert len(set(HOSTILE)) >= 60
    with watched() as seen:
        (tmp_path / "x").write_bytes(b"")
        (tmp_path / "x").unlink()
    assert [event for event, _ in seen] == ["open", "os.remove"]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[2:20])
def test_file_names_mean_nothing(client, tmp_path, monkeypatch, caplog, capfd, name):
    monkeypatch.chdir(tmp_path)
    harmless = post_form(client, form(b"street.png"))
    with watched() as seen:
        answer = post_form(client, form(name))
    assert seen == []
    assert harmless.status_code == 200
    assert (answer.status_code, answer.content) == (harmless.status_code, harmless.content)
    changing = {"server-timing"}
    assert {key: value for key, value in answer.headers.items() if key not in changing} == {
        key: value for key, value in harmless.headers.items() if key not in changing
    }
    assert list(tmp_path.iterdir()) == []
    assert len(name) < 4 or name.decode("latin-1") not in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [b'x"\r\n\r\ncontent', b"\r", b'x"; name="file', b"a" * 20_000])
def test_names_that_break_the_form_are_refused_without_echo(client, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with watched() as seen:
        answer = post_form(client, form(name))
    assert seen == []
    assert answer.status_code == 400
    assert len(answer.content) < 250
    assert list(tmp_path.iterdir()) == []


def test_addresses_in_a_request_are_never_followed(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.png").write_bytes(PNG)
    for body in (b"http://127.0.0.1:1/x.png", b"file:///x.png", b"x.png", str(tmp_path / "x.png").encode()):
        with watched() as seen:
            assert post(client, body).status_code == 400
            assert post_form(client, form(b"x.png", content=body)).status_code == 400
        assert seen == []
