import json
from dataclasses import replace
from pathlib import Path

import pytest

from icnet.base.errors import UsageError
from icnet.media.jobs import Job
from icnet.media.report import NAME, Report, written
from icnet.media.sources import Source


def entry(folder, name: str, **more) -> dict:
    """An entry whose input and output are there."""
    (folder / name).write_bytes(name.encode())
    (folder / f"{name}.out").write_bytes(b"")
    return {"input": str(folder / name), "kind": "image", "frames": 1, "outputs": [str(folder / f"{name}.out")]} | more


def jobs(folder, *names: str) -> list[Job]:
    return [Job(Source(str(folder / name), "image"), {"classes": folder / f"{name}.out"}, Path(name)) for name in names]


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def test_each_line_is_there_as_soon_as_it_is_added(tmp_path):
    with Report(tmp_path, "s", []) as report:
        report.add(entry(tmp_path, "ü"))
        assert [line["input"] for line in lines(tmp_path)] == [str(tmp_path / "ü")]
        report.add(entry(tmp_path, "b", error="no"))
        assert [line.get("error") for line in lines(tmp_path)] == [None, "no"]


def test_a_new_run_begins_a_new_report_with_its_first_line(tmp_path):
    for name in ("a", "b"):
        with Report(tmp_path, "s", jobs(tmp_path, name)) as report:
            assert report.done == {}
            if name == "b":
                assert [line["input"] for line in lines(tmp_path)] == [str(tmp_path / "a")], "nothing is lost before"
            report.add(entry(tmp_path, name))
    assert [line["input"] for line in lines(tmp_path)] == [str(tmp_path / "b")]


def test_a_resumed_run_keeps_what_is_done_and_nothing_else(tmp_path):
    names = ("good", "changed", "lost", "failed", "cut", "elsewhere")
    with Report(tmp_path, "s", jobs(tmp_path, *names)) as report:
        for name in ("good", "changed", "lost"):
            report.add(entry(tmp_path, name))
        report.add(entry(tmp_path, "failed", error="no"))
        report.add(entry(tmp_path, "cut", kind="video", interrupted=True))
        report.add(entry(tmp_path, "elsewhere", outputs=[str(tmp_path / "good.out")]))
    with (tmp_path / NAME).open("a") as file:
        file.write('{"input": "torn')
    (tmp_path / "changed").write_bytes(b"other")
    (tmp_path / "lost.out").unlink()
    with Report(tmp_path, "s", jobs(tmp_path, *names), resume=True) as report:
        assert list(report.done) == [str(tmp_path / "good")]
        report.add(entry(tmp_path, "changed"))
    assert [line["input"] for line in lines(tmp_path)] == [str(tmp_path / "good"), str(tmp_path / "changed")]


def test_entries_of_inputs_that_are_not_in_this_run_stay_unless_their_results_are_replaced(tmp_path):
    with Report(tmp_path, "s", []) as report:
        report.add(entry(tmp_path, "other"))
        report.add(entry(tmp_path, "0", kind="camera"))
        report.add(entry(tmp_path, "rival", outputs=[str(tmp_path / "new.out")]))
    with Report(tmp_path, "s", jobs(tmp_path, "new"), resume=True) as report:
        assert report.done == {}
        report.add(entry(tmp_path, "new"))
    assert [line["input"] for line in lines(tmp_path)] == [str(tmp_path / name) for name in ("other", "0", "new")]


def test_results_under_other_names_are_not_those_of_this_run(tmp_path):
    with Report(tmp_path, "s", []) as report:
        report.add(entry(tmp_path, "a"))
    (job,) = jobs(tmp_path, "a")
    assert Report(tmp_path, "s", [job], resume=True).done
    assert not Report(tmp_path, "s", [replace(job, paths={"classes": tmp_path / "a.png.out"})], resume=True).done


def test_what_holds_in_other_respects_is_asked(tmp_path):
    with Report(tmp_path, "s", []) as report:
        report.add(entry(tmp_path, "a"))
    assert Report(tmp_path, "s", jobs(tmp_path, "a"), resume=True).done
    assert not Report(tmp_path, "s", jobs(tmp_path, "a"), resume=True, holds=lambda entry: False).done


def test_other_settings_are_not_mixed(tmp_path):
    with Report(tmp_path, "s", []) as report:
        report.add(entry(tmp_path, "a"))
    with pytest.raises(UsageError, match="another model or other options"):
        Report(tmp_path, "t", jobs(tmp_path, "a"), resume=True)
    assert len(lines(tmp_path)) == 1, "nothing is lost"
    assert Report(tmp_path / "new", "t", [], resume=True).done == {}, "there is nothing to resume"


@pytest.mark.parametrize(
    "line",
    [
        '{"input": "a", "outputs": [], "frames": 1, "ms": NaN}',
        '{"input": "a", "outputs": [], "frames": 1, "ms": 1e999}',
        '{"input": ["a"], "outputs": [], "frames": 1}',
        '{"input": "a", "outputs": [["b"]], "frames": 1}',
        '{"input": "a", "outputs": "b", "frames": 1}',
        '{"input": "a\\u0000", "outputs": [], "frames": 1}',
        '{"input": "a", "outputs": ["\\ud800"], "frames": 1}',
        '{"input": "a", "outputs": []}',
        '{"input": "a", "frames": 1, "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "[" * 100_000,
        "[]",
        "\0\0",
        "",
    ],
)
def test_a_line_of_somebody_else_is_named(tmp_path, line):
    with Report(tmp_path, "s", []) as report:
        report.add(entry(tmp_path, "a"))
    with (tmp_path / NAME).open("a") as file:
        file.write(line + "\n")
    for read in (written, lambda folder: Report(folder, "s", jobs(folder, "a"), resume=True)):
        with pytest.raises(UsageError, match=r"line 2 of .*report\.jsonl is none that icnet wrote: remove"):
            read(tmp_path)


def test_what_earlier_runs_wrote(tmp_path):
    assert written(tmp_path) == set()
    (tmp_path / "contact-sheet.jpg").write_bytes(b"")
    assert written(tmp_path) == set(), "without a report it is the user's"
    with Report(tmp_path, "s", []) as report:
        report.add(entry(tmp_path, "a"))
    assert written(tmp_path) == {str(tmp_path / "a.out"), str(tmp_path / "contact-sheet.jpg")}
