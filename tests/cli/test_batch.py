"""Batches that meet bad files, are interrupted, and run out of space."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_files import write_clip
from segment_runs import picture, start, tiny_model

from icnet import cli
from icnet.base.files import sole_owner
from icnet.cli.segment import _bar
from icnet.cli.terminal import progress, show
from icnet.media.jobs import Job
from icnet.media.sources import Source


@pytest.fixture
def folder(tiny, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path, tiny)
    return tmp_path


def fill(count: int, bad: int, seed: int) -> set[str]:
    """Write `count` pictures into `in`, of which `bad` cannot be read; gives the names of these."""
    generator = random.Random(seed)
    Path("in").mkdir()
    numbers = set(generator.sample(range(count), bad))
    for number in range(count):
        suffix = (".png", ".jpg", ".webp", ".bmp", ".tif")[number % 5]
        data = cv2.imencode(suffix, picture(number))[1].tobytes()
        if number in numbers:
            data = generator.choice([b"", data[: len(data) // 2], b"no picture" * 50, b"GIF89a" + data[6:]])
        Path(f"in/{number:03}{suffix}").write_bytes(data)
    return {path.as_posix() for path in Path("in").iterdir() if int(path.stem) in numbers}


def report() -> list[dict]:
    return [json.loads(line) for line in Path("out/report.jsonl").read_text().splitlines()]


def maps() -> set[str]:
    return {path.stem for path in Path("out").glob("*.png")}


def check_whole(count: int, bad: set[str]) -> None:
    """Every file has its line once, and its class map or the reason why not."""
    lines = report()
    assert sorted(line["input"] for line in lines) == sorted(path.as_posix() for path in Path("in").iterdir())
    assert {line["input"] for line in lines if "error" in line} == bad
    assert all(line["input"] in line["error"] for line in lines if "error" in line)
    assert len(maps()) == count - len(bad)
    assert all(cv2.imread(f"out/{name}.png", cv2.IMREAD_UNCHANGED).shape == (48, 64) for name in maps())


@pytest.mark.parametrize(("count", "bad"), [(40, 4), pytest.param(500, 50, marks=pytest.mark.whole)])
def test_bad_files_do_not_stop_a_batch_and_are_named(folder, capsys, count, bad):
    names = fill(count, bad, seed=count)
    assert cli.run(["segment", "in", "-o", "out", "--model", "tiny.safetensors", "--classes-only"]) == 1
    check_whole(count, names)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == bad + 1
    assert f"{count - bad} of {count} inputs" in lines[-1]


@pytest.mark.parametrize(("count", "bad", "kills"), [(40, 4, 2), pytest.param(500, 50, 12, marks=pytest.mark.whole)])
def test_a_batch_that_is_killed_again_and_again_neither_loses_nor_repeats_a_file(folder, count, bad, kills, seed):
    names, generator, seen = fill(count, bad, seed=seed + 1), random.Random(seed + count), []
    for attempt in range(kills):
        with start("in", "--classes-only", "--stats", "t.csv", *(["--resume"] if attempt else [])) as process:
            goal = len(seen) + generator.randint(2, max(3, count // (2 * kills)))
            end = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < end:
                if Path("out/report.jsonl").exists() and len(Path("out/report.jsonl").read_bytes().splitlines()) >= goal:
                    break
                time.sleep(0.005)
            process.send_signal(generator.choice([signal.SIGKILL, signal.SIGTERM]))
            process.wait(30)
        seen = [line["input"] for line in report() if "error" not in line]
        assert len(seen) == len(set(seen))
    assert 0 < len(seen) < count - bad, "the kills came during the work"
    before = {name: os.stat(f"out/{Path(name).stem}.png").st_mtime_ns for name in seen}
    assert start("in", "--classes-only", "--stats", "t.csv", "--resume").wait(300) == 1
    check_whole(count, names)
    assert {name: os.stat(f"out/{Path(name).stem}.png").st_mtime_ns for name in seen} == before, "what was done is not repeated"
    rows = [line.split(",")[0] for line in Path("t.csv").read_text().splitlines()[1:]]
    assert sorted(rows) == sorted({path.as_posix() for path in Path("in").iterdir()} - names)
    assert not list(Path("out").glob(".*")), "nothing half-written is left"


def test_no_name_steers_the_terminal(folder, capsys):
    name = "\x1b[2J\x1b]0;x\x07"
    Path(f"{name}.png").write_bytes(cv2.imencode(".png", picture(0))[1].tobytes())
    Path(f"{name}.jpg").write_bytes(b"no picture")
    assert cli.run(["segment", f"{name}.png", f"{name}.jpg", "-o", name, "--model", "tiny.safetensors"]) == 1
    show(name)
    said, told = capsys.readouterr()
    assert (said, "\x1b" in told) == ("\\x1b[2J\\x1b]0;x\\x07\n", False)
    with progress() as bars:
        _bar(bars, Job(Source(f"{name}.mp4", "video"), {}, Path(name)))
        assert all(task.description.isprintable() for task in bars.tasks)


def test_two_runs_cannot_write_one_table(folder, capsys):
    fill(2, 0, seed=0)
    arguments = ["segment", "in", "-o", "out", "--model", "tiny.safetensors", "--classes-only", "--stats", "t.csv"]
    with sole_owner(Path("t.csv")):  # as another run has it
        assert cli.run(arguments) == 2
    assert "another run writes t.csv: wait" in capsys.readouterr().err
    assert cli.run(arguments) == 0
    assert not list(Path().glob(".*"))


def test_folders_that_are_nested_too_deeply_are_one_line(folder, capsys):
    deep = os.open(".", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=deep)
        deep, above = os.open("d", os.O_RDONLY, dir_fd=deep), deep
        os.close(above)
    names = [Path("a.png"), Path(*["d"] * 1500, "b.png")]
    for name, place in zip(names, (os.open(".", os.O_RDONLY), deep), strict=True):
        with open(os.open(name.name, os.O_WRONLY | os.O_CREAT, dir_fd=place), "wb") as file:
            file.write(cv2.imencode(".png", picture(0))[1])
        os.close(place)
    try:
        assert cli.run(["segment", ".", "-o", "out", "--model", "tiny.safetensors", "--classes-only"]) == 1
    finally:  # which rmtree cannot
        os.unlink(names[1])
        for depth in range(1500, 0, -1):
            os.rmdir("d/" * depth)
    lines = capsys.readouterr().err.splitlines()
    assert ["nested too deeply" in line for line in lines] == [True] + [False] * (len(lines) - 1)
    assert Path("out/a.png").is_file()


def test_resume_with_other_options_is_refused(folder, capsys):
    fill(3, 0, seed=0)
    arguments = ["segment", "in", "-o", "out", "--model", "tiny.safetensors", "--classes-only"]
    assert cli.run(arguments) == 0
    assert cli.run([*arguments, "--resume"]) == 0
    capsys.readouterr()
    assert cli.run([*arguments, "--resume", "--only", "Road"]) == 2
    assert "other options" in capsys.readouterr().err
    assert len(report()) == 3


def can_mount() -> bool:
    """Whether a process may make a small file system for itself."""
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False).returncode
        == 0
    )


@pytest.mark.skipif(not can_mount(), reason="mounting a small file system is not permitted here")
@pytest.mark.parametrize("kind", ["pictures", "video", "documents"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(folder, kind):
    """In a name space of its own: 400 kB of space for results that need more."""
    if kind == "video":
        write_clip(Path("v.mp4"), range(400), size_hw=(240, 320))
        inputs = "v.mp4"
    else:
        inputs = "in"
        Path("in").mkdir()
        for number in range(60):
            noise = np.random.default_rng(number).integers(0, 256, (96, 128, 3), dtype=np.uint8)
            cv2.imwrite(f"in/{number:02}.png", noise)
    Path("out").mkdir()
    forms = {"pictures": "classes,overlay", "video": "overlay", "documents": "geojson,coco,rle"}[kind]
    command = f"{sys.executable} -m icnet segment {inputs} -o out --model tiny.safetensors --write {forms}"
    script = f"mount -t tmpfs -o size=400k none out && {command}; echo $? > code; mkdir kept && cp -a out/. kept"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert Path("code").read_text().strip() == ("2" if kind == "video" else "1"), done.stderr
    complaints = [line for line in done.stderr.splitlines() if line.startswith("icnet:")]
    assert len(complaints) == 1, done.stderr
    assert "No space left on device" in complaints[0]
    assert "Traceback" not in done.stderr
    finished = [path for path in Path("kept").iterdir() if path.suffix != ".jsonl"]
    if kind == "video":
        assert [path.name for path in finished] == ["v.partial.mp4"]
        return
    assert len(finished) > 3
    for path in finished:
        if path.suffix == ".png":
            assert cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
        else:
            json.loads(path.read_text())


def test_resume_never_removes_what_it_did_not_write(folder, capsys):
    write_clip(Path("a.mp4"), range(3))
    Path("a").mkdir()
    Path("a/diary.txt").write_text("mine")
    arguments = ["segment", "a.mp4", "-o", ".", "--model", "tiny.safetensors", "--classes-only", "--resume"]
    assert cli.run(arguments) == 2
    assert "not empty" in capsys.readouterr().err
    assert Path("a/diary.txt").read_text() == "mine"


def test_a_result_that_another_input_has_replaced_is_made_again(folder):
    options = ["-o", "out", "--model", "tiny.safetensors", "--classes-only", "--resume"]
    for name in ("x", "y"):
        Path(name).mkdir()
        cv2.imwrite(f"{name}/a.png", picture(ord(name)))
        assert cli.run(["segment", name, *options]) == 0
    of_y = Path("out/a.png").read_bytes()
    assert [line["input"] for line in report()] == ["y/a.png"]
    assert cli.run(["segment", "x", *options]) == 0
    assert Path("out/a.png").read_bytes() != of_y


def test_a_table_that_was_lost_is_made_again(folder):
    fill(4, 0, seed=0)
    arguments = ["segment", "in", "-o", "out", "--model", "tiny.safetensors", "--classes-only", "--stats", "t.csv", "--resume"]
    for _ in range(2):
        assert cli.run(arguments) == 0
        assert len(Path("t.csv").read_text().splitlines()) == 5
        Path("t.csv").unlink()


def test_results_in_the_folder_of_the_inputs_are_no_inputs(folder):
    for number in range(3):
        cv2.imwrite(f"p{number}.jpg", picture(number))
    for more in ([], ["--resume"], ["--contact-sheet"], []):
        assert cli.run(["segment", ".", "-o", ".", "--model", "tiny.safetensors", *more]) == 0
        assert len(list(Path().glob("*.png"))) == 6


def test_what_a_killed_run_left_is_removed(folder):
    fill(2, 0, seed=0)
    Path("out").mkdir()
    Path("out/.000.coco.4711.part.json").write_text("half")
    Path("out/.mine.4711.part.json").write_text("")
    assert cli.run(["segment", "in", "-o", "out", "--model", "tiny.safetensors", "--write", "classes,coco"]) == 0
    assert [path.name for path in Path("out").glob(".*")] == [".mine.4711.part.json"]


def test_names_of_any_kind(folder):
    Path("in").mkdir()
    for name in (b"\xe9.png", "l\u00e4nge".encode() * 35 + b".png", b"-x%d.png", b"new\nline.png", b"\x1b]0;pwned.png"):
        with open(os.path.join(b"in", name), "wb") as file:
            file.write(cv2.imencode(".png", picture(0))[1].tobytes())
    (Path("in") / "\x1b]0;bad.png").write_bytes(b"")
    for more in ([], ["--resume"]):
        with start("in", "--write", "classes,coco", "--stats", "t.csv", *more) as process:
            assert process.wait(60) == 1
    assert len(list(Path("out").glob("*.png"))) == 5
    assert b"\x1b" not in Path("stderr.txt").read_bytes()
