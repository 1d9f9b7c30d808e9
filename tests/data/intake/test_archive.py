import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from icnet.base.errors import DataError
from icnet.data.intake import archive
from icnet.data.intake.archive import is_archive, unpack


def zipped(path: Path, entries: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            file.writestr(entry, content)
    return path


def tarred(path: Path, *entries: tuple[str, bytes, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as file:
        for name, kind, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(content)
            entry.linkname = "/etc/passwd"
            file.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_files_come_out_and_nothing_else(mode, tmp_path):
    files = {"set/images/a b.png": b"1", "set/masks/é.png": b"22", "__MACOSX/set/x": b"", "set/.hidden": b""}
    if mode == "zip":
        path = zipped(tmp_path / "a", files)
    else:
        path = tarred(tmp_path / "a", *((name, tarfile.REGTYPE, content) for name, content in files.items()), mode=mode)
    assert is_archive(path)
    unpack(path, tmp_path / "out")
    found = {
        file.relative_to(tmp_path / "out").as_posix(): file.read_bytes()
        for file in (tmp_path / "out").rglob("*")
        if file.is_file()
    }
    assert found == {"set/images/a b.png": b"1", "set/masks/é.png": b"22"}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "..\\x", "C:/x", "a/\\..\\..\\x"])
def test_no_path_leads_outside(name, tmp_path):
    for path in (zipped(tmp_path / "a.zip", {name: b"1"}), tarred(tmp_path / "a.tar", (name, tarfile.REGTYPE, b"1"))):
        with pytest.raises(DataError, match="leads out of its folder"):
            unpack(path, tmp_path / "deep" / "out")
    assert sorted(tmp_path.rglob("x")) == []


def test_no_links_and_devices(tmp_path):
    paths = [zipped(tmp_path / "a.zip", {"link": b"/etc/passwd"}, stat.S_IFLNK | 0o777)]
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
    paths += [tarred(tmp_path / f"{number}.tar", ("link", kind, b"")) for number, kind in enumerate(kinds)]
    for path in paths:
        with pytest.raises(DataError, match="holds the link or device 'link'"):
            unpack(path, tmp_path / "out")


def test_sizes_are_bounded_by_what_comes_out(tmp_path, monkeypatch):
    bomb = zipped(tmp_path / "bomb.zip", {"a": bytes(3 << 20), "b": bytes(3 << 20)})
    unpack(bomb, tmp_path / "fits", most_bytes=6 << 20)
    with pytest.raises(DataError, match="more than the disk has room for"):
        unpack(bomb, tmp_path / "out", most_bytes=(6 << 20) - 1)
    monkeypatch.setattr(archive, "MOST_ENTRIES", 3)
    with pytest.raises(DataError, match="more than 3 entries"):
        unpack(zipped(tmp_path / "many.zip", {str(number): b"" for number in range(4)}), tmp_path / "many")


def test_damage_is_one_line(tmp_path):
    good = zipped(tmp_path / "good.zip", {"a.png": bytes(range(256)) * 40, "b.png": b"2" * 999}).read_bytes()
    (tmp_path / "flipped.zip").write_bytes(good[:60] + bytes([good[60] ^ 255]) + good[61:])
    cut = tarred(tmp_path / "good.tar", ("a", tarfile.REGTYPE, bytes(range(256)) * 99)).read_bytes()
    (tmp_path / "cut.tar").write_bytes(cut[:-100])
    twice = tmp_path / "twice.tar"
    tarred(twice, ("a", tarfile.REGTYPE, b"1"), ("./a", tarfile.REGTYPE, b"2"))
    for name, said in (("flipped.zip", "is damaged"), ("cut.tar", "is damaged"), ("twice.tar", "twice: pack it anew")):
        with pytest.raises(DataError, match=said):
            unpack(tmp_path / name, tmp_path / f"out-{name}")
