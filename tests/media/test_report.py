import json
import subprocess
import sys

import pytest

from icnet.base.errors import UsageError
from icnet.media.report import NAME, Report


def entry(folder, name: str, **more) -> dict:
    """An entry whose input and output are there."""
    (folder / name).write_bytes(name.encode())
    (folder / f"{name}.out").write_bytes(b"")
    return {"input": str(folder / name), "kind": "image", "outputs": [str(folder / f"{name}.out")]} | more


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def test_each_line_is_there_as_soon_as_it_is_added(tmp_path):
    with Report(tmp_path, "s") as report:
        assert lines(tmp_path) == []
        report.add(entry(tmp_path, "ü"))
        assert [line["input"] for line in lines(tmp_path)] == [str(tmp_path / "ü")]
        report.add(entry(tmp_path, "b", error="no"))
        assert [line.get("error") for line in lines(tmp_path)] == [None, "no"]


def test_a_new_run_begins_a_new_report(tmp_path):
    for name in ("a", "b"):
        with Report(tmp_path, "s") as report:
            assert report.done == {}
            report.add(entry(tmp_path, name))
    assert [line["input"] for line in lines(tmp_path)] == [str(tmp_path / "b")]


def test_a_resumed_run_keeps_what_is_done_and_nothing_else(tmp_path):
    with Report(tmp_path, "s") as report:
        for name in ("good", "changed", "lost"):
            report.add(entry(tmp_path, name))
        report.add(entry(tmp_path, "failed", error="no"))
        report.add(entry(tmp_path, "cut", kind="video", interrupted=True))
        report.add(entry(tmp_path, "0", kind="camera"))
    with (tmp_path / NAME).open("a") as file:
        file.write('{"input": "torn')
    (tmp_path / "changed").write_bytes(b"other")
    (tmp_path / "lost.out").unlink()
    with Report(tmp_path, "s", resume=True) as report:
        assert list(report.done) == [str(tmp_path / "good")]
        report.add(entry(tmp_path, "changed"))
    assert [line["input"] for line in lines(tmp_path)] == [str(tmp_path / "good"), str(tmp_path / "changed")]


def test_other_settings_are_not_mixed(tmp_path):
    with Report(tmp_path, "s") as report:
        report.add(entry(tmp_path, "a"))
    with pytest.raises(UsageError, match="another model or other options"):
        Report(tmp_path, "t", resume=True)
    assert len(lines(tmp_path)) == 1, "nothing is lost"
    with Report(tmp_path / "new", "t", resume=True) as report:
        assert report.done == {}, "there is nothing to resume"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_two_processes_do_not_write_one_report(tmp_path):
    code = "import sys, pathlib\nfrom icnet.media.report import Report\nReport(pathlib.Path(sys.argv[1]), 's')"
    with Report(tmp_path, "s") as report:
        report.add(entry(tmp_path, "a"))
        other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert "another process writes its results" in other.stderr
        assert len(lines(tmp_path)) == 1
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
