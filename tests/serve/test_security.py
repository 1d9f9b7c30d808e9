"""The token, and which addresses only this machine reaches."""

import base64
import hmac

import pytest

from icnet.serve import security
from icnet.serve.errors import Unauthorized
from icnet.serve.security import check_token, is_loopback

TOKEN = "s3cret:with=signs"


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    "shown",
    [
        f"Bearer {TOKEN}",
        f"bearer   {TOKEN}  ",
        f"BEARER {TOKEN}",
        basic(f":{TOKEN}"),
        basic(f"anybody:{TOKEN}"),
        basic(f"ä:{TOKEN}"),
        basic(b"\xff:" + TOKEN.encode()),
        basic(f"anybody:{TOKEN}").replace("Basic", "bAsIc"),
    ],
)
def test_the_token_lets_in(shown):
    check_token(TOKEN, shown)


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        " ",
        "Bearer",
        "Bearer ",
        TOKEN,
        f"Token {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN}\0",
        f"Bearer \0{TOKEN}",
        f"Bearer\t{TOKEN}",
        "Bearer ÿþ",
        "Bearer \ud800",
        "Bearer \U0001f511",
        "Basic",
        "Basic !!!",
        "Basic ÿ",
        "Basic =",
        basic(TOKEN.replace(":", "")),
        basic(f"{TOKEN}:"),
        basic(f"a:{TOKEN}:"),
        basic("a:b"),
        basic(":"),
        basic("\0"),
        basic(b"\xff\xfe"),
        "Basic " + "A" * 30000,
    ],
)
def test_nothing_else_does(shown):
    with pytest.raises(Unauthorized, match="Bearer, or Basic") as caught:
        check_token(TOKEN, shown)
    assert TOKEN not in str(caught.value)


def test_tokens_of_other_alphabets_arrive_as_utf_8():
    check_token("Schlüssel", "Bearer " + "Schlüssel".encode().decode("latin-1"))
    check_token("Schlüssel", basic("a:Schlüssel"))


def test_without_a_token_everybody_is_in():
    check_token(None, None)
    check_token(None, "garbage")


@pytest.mark.parametrize("shown", [None, "", "Bearer ", basic(":")])
def test_an_empty_token_lets_nobody_in(shown):
    with pytest.raises(Unauthorized):
        check_token("", shown)


@pytest.mark.parametrize("shown", [None, "Bearer x", f"Bearer {TOKEN}", basic("a:" + "b" * 500)])
def test_comparing_takes_the_same_time_for_all(monkeypatch, shown):
    compared = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return hmac.compare_digest(a, b)

    monkeypatch.setattr(security, "hmac", type("Spy", (), {"compare_digest": staticmethod(compare)}))
    try:
        check_token(TOKEN, shown)
        let_in = True
    except Unauthorized:
        let_in = False
    assert let_in == (shown == f"Bearer {TOKEN}")
    assert [(len(a), len(b)) for a, b in compared] == [(32, 32)]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1.2.3",
        "127.255.255.255",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
        "localhost",
        "LocalHost",
    ],
)
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0", "::", "[::]", "", "*", "192.168.0.1", "10.0.0.1", "169.254.0.1", "fe80::1", "::ffff:192.168.0.1",
        "::ffff:0.0.0.0", "128.0.0.1", "127.1", "127.0.0.1:80", "127.0.0.1.", " 127.0.0.1", "127.0.0.01", "0x7f000001",
        "2130706433", "[127.0.0.1", "localhost.example.org", "localhost.", "notlocalhost", "127.0.0.1.nip.io", "example.org",
        "[localhost]", "\0", "ÿ",
    ],
)  # fmt: skip
def test_not_loopback(host):
    assert not is_loopback(host)
