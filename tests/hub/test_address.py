import pytest

from icnet.base.errors import ModelError
from icnet.hub.address import Address, is_address, parse_address

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://me/street", Address("me/street")),
        ("hf://me/street@v1.2", Address("me/street", "v1.2")),
        (f"hf://me/street@{COMMIT}/a-b.xml", Address("me/street", COMMIT, "a-b.xml")),
    ],
)
def test_addresses_are_read_and_written(text, expected):
    address = parse_address(text)
    assert address == expected
    assert str(address) == text
    assert address.is_pinned == (COMMIT in text)
    assert str(address.at(COMMIT)).startswith(f"hf://me/street@{COMMIT}")


@pytest.mark.parametrize("text", ["s3://bucket/x", "https://a.example/x.safetensors", "file:///etc/passwd", "HF://me/street"])
def test_other_schemes_get_one_line(text):
    with pytest.raises(ModelError, match=r"models do not come from \w+://: give a name, a path or hf://USER/NAME"):
        parse_address(text)


@pytest.mark.parametrize(
    "rest", ["", "me", "me/", "../x", "me/..", "me/a@", "me/a/b/c", "me/a--b", "me/a b", "me/a/../b", "me/a?x", "/me/a"]
)
def test_what_is_no_address_is_refused(rest):
    with pytest.raises(ModelError, match="is no address of a model"):
        parse_address(f"hf://{rest}")


def test_names_and_paths_are_no_addresses():
    assert not any(is_address(model) for model in ("icnet-lite", "a/b.xml", "C:\\models\\a.xml", "hf:/me/street"))
