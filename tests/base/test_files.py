import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from icnet.base import files
from icnet.base.errors import OutputError, UsageError
from icnet.base.files import _short, remove_temporaries, replacing, sole_owner, sole_writer, write_bytes


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


def test_a_durable_write_syncs_the_file_then_renames_then_syncs_the_folder(tmp_path, monkeypatch):
    target, done = tmp_path / "a.bin", []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        done.append(("folder", target.exists()) if is_folder else ("file", os.fstat(descriptor).st_size))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), replace(*paths)))
    write_bytes(target, b"three")
    assert done == [("file", 5), "rename", ("folder", True)]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    sync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not on this drive")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_bytes(tmp_path / "a.bin", b"x")
    assert (tmp_path / "a.bin").read_bytes() == b"x"


HOLD = """
import sys
from pathlib import Path
from icnet.base.files import sole_owner, sole_writer
with sole_owner(Path(sys.argv[2])) if sys.argv[2:] else sole_writer(Path(sys.argv[1]), ()):
    print("inside", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_one_writer_per_folder_until_it_is_killed(tmp_path):
    folder = tmp_path / "new" / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"inside\n"
        with pytest.raises(UsageError, match=r"another process is at work in .*run: wait"), sole_writer(folder, ()):
            pytest.fail("two at once")
        with sole_writer(tmp_path / "elsewhere", ()):
            pass
        other.kill()
        other.wait()
        with sole_writer(folder, ()):
            pass


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_one_owner_of_a_file_until_it_is_killed(tmp_path):
    path = tmp_path / "new" / "t.csv"
    command = [sys.executable, "-c", HOLD, "", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"inside\n"
        with pytest.raises(UsageError, match=r"another run writes .*t\.csv: wait"), sole_owner(path):
            pytest.fail("two at once")
        with sole_owner(path.with_name("u.csv")):
            pass
        other.kill()
        other.wait()
        with sole_owner(path):
            assert os.listdir(path.parent) == [".t.csv.lock"]
    assert os.listdir(path.parent) == []


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_a_claim_that_its_last_owner_has_just_removed_is_made_anew(tmp_path, monkeypatch):
    marker, flock = tmp_path / ".t.csv.lock", files.fcntl.flock
    leaves = iter([marker.unlink])
    monkeypatch.setattr(files.fcntl, "flock", lambda *given: (next(leaves, lambda: None)(), flock(*given)))
    with sole_owner(tmp_path / "t.csv"):
        assert marker.exists()


def test_a_new_writer_removes_what_a_dead_one_left_and_nothing_else(tmp_path):
    dead = [".log.4711.part.csv", f".log.{os.getpid()}.part.csv", ".best.1.part.safetensors"]
    others = ["log.csv", ".log.old.part.csv", ".log.4711.part.txt", ".frame.4711.part.png", ".best.1.part"]
    for name in dead + others:
        (tmp_path / name).write_text("x")
    with sole_writer(tmp_path, ["log.csv", "best.safetensors"]):
        assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_errors_inside_the_claim_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), sole_writer(tmp_path, ()):
        (tmp_path / "missing").read_text()


def test_a_folder_that_cannot_be_claimed(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot write in"), sole_writer(tmp_path / "file", ()):
        pytest.fail("a file is no folder")


def test_names_as_long_as_the_system_allows(tmp_path):
    path = tmp_path / ("ü" * 120 + ".coco.json")
    for content in ("a", "b"):
        with replacing(path) as temporary:
            temporary.write_text(content)
    assert path.read_text() == "b"
    with replacing(path) as one, replacing(path.with_suffix(".txt")) as other, replacing(tmp_path / ("ü" * 121)) as third:
        assert len({one, other, third}) == 3
        for temporary in (one, other, third):
            temporary.write_text("")
    long = tmp_path / f".{_short(path.stem)}.4711.part{path.suffix}"
    long.write_text("dead")
    remove_temporaries([path])
    assert not long.exists()


@pytest.mark.parametrize(("number", "lasting"), [(errno.ENOSPC, True), (errno.ENAMETOOLONG, False), (errno.EISDIR, False)])
def test_an_error_tells_whether_others_would_meet_it(tmp_path, number, lasting):
    with pytest.raises(OutputError, match="cannot write") as caught, replacing(tmp_path / "x"):
        raise OSError(number, os.strerror(number))
    assert caught.value.lasting is lasting
