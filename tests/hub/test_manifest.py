import json

import pytest

from icnet.base.errors import ModelError
from icnet.hub.manifest import LARGEST, Entry, Manifest, parse_manifest

ENTRY = {"sha256": "0" * 64, "bytes": 5}
GOOD = {"format": 1, "model": "m", "models": {"weights": "m.safetensors"}, "files": {"m.safetensors": ENTRY}}


def parsed(**changed):
    return parse_manifest(json.dumps(GOOD | changed).encode(), "here")


def test_a_manifest_survives_being_written_and_read():
    files = {name: Entry("a" * 64, size) for size, name in enumerate(("m.safetensors", "m.bin", "m.xml", "README.md"))}
    manifest = Manifest("m", {"weights": "m.safetensors", "logits": "m.xml"}, files)
    assert parse_manifest(manifest.to_json().encode(), "here") == manifest


def test_the_best_kind_is_chosen():
    manifest = Manifest("m", {"weights": "m.safetensors", "int8": "m-int8.xml"}, {})
    assert manifest.choose(("int8", "weights"), None, "here") == "m-int8.xml"
    assert manifest.choose(("weights",), None, "here") == "m.safetensors"
    assert manifest.choose(("int8", "weights"), "m.safetensors", "here") == "m.safetensors"
    with pytest.raises(ModelError, match=r"has no such model file: it has m\.safetensors, m-int8\.xml"):
        manifest.choose(("weights",), "m-int8.xml", "here")


@pytest.mark.parametrize(
    "name", ["../m.xml", "/etc/m.xml", "a/m.xml", "..", "a\\m.xml", "C:m.xml", "m.xml\n", ".m.xml", "m..xml", "é.xml"]
)
def test_names_cannot_leave_the_folder(name):
    with pytest.raises(ModelError, match=r"cannot be used \(it names a file"):
        parsed(files={name: ENTRY, "m.safetensors": ENTRY})


@pytest.mark.parametrize("name", ["m.pkl", "m.pt", "m.py", "m.so", "m.keras", "m.h5", "m.zip", "m", "icnet.json"])
def test_files_that_could_run_something_are_refused(name):
    with pytest.raises(ModelError, match=r"cannot be used \(it names a file"):
        parsed(files={name: ENTRY, "m.safetensors": ENTRY})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"format": 2}, "has the format 2: update icnet"),
        ({"models": {"weights": "m.xml"}}, "is no file for weights"),
        ({"models": {"int8": "m.safetensors"}}, "is no file for int8"),
        ({"models": {"weights": ["m.safetensors"]}}, "is no file for weights"),
        ({"models": {"weights": "other.safetensors"}}, "it has no digest of other.safetensors"),
        ({"models": {"int8": "m.xml"}, "files": {"m.xml": ENTRY}}, r"it has no digest of m\.bin"),
        ({"files": {"m.safetensors": ENTRY | {"bytes": LARGEST + 1}}}, "bytes are allowed"),
        ({"files": {"m.safetensors": ENTRY | {"bytes": True}}}, "bytes are allowed"),
        ({"files": {"m.safetensors": ENTRY | {"sha256": "0" * 63}}}, "digest of m.safetensors is none"),
        ({"files": {f"m{index}.bin": ENTRY for index in range(100)}}, "more than 64 files"),
        ({"files": []}, "cannot be used"),
        ({"model": None}, "it names no model"),
    ],
)
def test_what_cannot_be_used_is_told(changed, reason):
    with pytest.raises(ModelError, match=reason):
        parsed(**changed)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_manifest_is_one_line(data):
    with pytest.raises(ModelError, match=r"icnet\.json of here cannot be used"):
        parse_manifest(data, "here")
