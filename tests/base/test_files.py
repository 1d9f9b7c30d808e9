import os
from pathlib import Path

import pytest

from icnet.base.errors import OutputError
from icnet.base.files import replacing, write_bytes


def test_replaces_on_success_only(tmp_path):
    target = tmp_path / "deep" / "result.png"
    with replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".png", "writers choose the format by the suffix"
        temporary.write_text("first")
        assert not target.exists()
    assert target.read_text() == "first"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")
    with pytest.raises(KeyError), replacing(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyError("the writer broke")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_write_bytes(tmp_path):
    write_bytes(tmp_path / "a.bin", b"one")
    write_bytes(tmp_path / "a.bin", b"two")
    assert (tmp_path / "a.bin").read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write"):
        write_bytes(tmp_path / "file" / "a.bin", b"x")


def test_a_target_that_is_a_folder(tmp_path):
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_bytes(tmp_path / "a.bin", b"x")
    assert [path.name for path in Path(tmp_path).iterdir()] == ["a.bin"]
