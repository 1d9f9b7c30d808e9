"""What the documents tell a reader to type is run, in a folder like that of a reader who has followed them."""

import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from camvid_folder import camvid_folder
from clip_files import write_clip
from labelled_scenes import cvat_masks, scenes

from icnet import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = typer.main.get_command(cli.app).commands

ONLY_PARSED = {
    r"^icnet segment 0 ": "needs a camera",
    r" -o - ": "needs a shell; tests/cli/test_standard.py has it",
    r"rtsp://": "needs a camera in the network",
    r"^icnet demo": "paints eight seconds; tests/cli/test_demo.py has it",
    r"^icnet serve": "serves until it is stopped; tests/serve has it",
    r"^icnet benchmark": "takes minutes; tests/measure has it",
    r"^icnet evaluate --data streets": "needs what the command before has trained",
    r"^icnet train (?!.*--show-recipe)": "trains for hours; tests/cli/test_train.py and examples have it",
    r"--precision int8": "tests/deploy/test_quantize.py and test_bundle.py have it",
    r"FP16-INT8": "the result of that",
    r"hf://": "needs a hub; tests/hub has it",
}
"""Commands that are not run here, with the reason."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands(page: Path) -> list[str]:
    """Every call of icnet in the page's blocks, with continued lines joined."""
    lines = [line for block in blocks(page, "sh") for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [part for line in lines for part in re.findall(r"(?:^|&& )(icnet .*)", line)]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the files that the documents name."""
    folder = tmp_path_factory.mktemp("reader")
    street = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    street = cv2.resize(street, (128, 96), interpolation=cv2.INTER_CUBIC)
    for name in ("icnet-demo/street.png", "photos/a.png", "photos/b/c.jpg", "drive/a/b.png", "panorama.tif", "x.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), street)
    write_clip(folder / "drive.mp4", range(3))
    (folder / "zones.json").write_text('{"my lane": [[30, 47], [60, 47], [50, 20]]}')
    camvid_folder(folder / "CamVid", train=2, val=2)
    cvat_masks(folder / "exported", scenes())
    shutil.make_archive(str(folder / "labels"), "zip", folder / "exported")
    (folder / "src").symlink_to(ROOT / "src")  # what only a checkout has
    return folder


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """Commands of the pages before."""
    return set()


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem)
def test_commands(page, place, seen, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr(import_module("icnet.cli.export"), "FRAMES", 1)  # tests/cli/test_export.py has all
    for line in commands(page):
        if line.split("#")[0].strip() in seen:
            continue
        seen.add(line.split("#")[0].strip())
        verb, *rest = shlex.split(line, comments=True)[1:]
        if any(re.search(pattern, line) for pattern in ONLY_PARSED):
            COMMANDS[verb].make_context(verb, rest)
        else:
            assert cli.run([verb, *rest]) == 0, (line, capsys.readouterr().err)


@pytest.mark.parametrize("name", ["README.md", "docs/python.md", "docs/prune.md"])  # tests/serve/test_readme.py has docs/serve.md
def test_python(name, place, monkeypatch):
    monkeypatch.chdir(place)
    for code in blocks(ROOT / name, "python"):
        exec(code, {})


@pytest.mark.parametrize(
    ("script", "arguments", "said"),
    [
        ("picture.py", ["icnet-demo/street.png"], r"Road +\d"),
        ("video_zones.py", ["drive.mp4"], r"^3 frames$"),
        ("prune_keras.py", [], r"1,\d+,\d+ after; outputs differ by \de-0[5-9] of the largest"),
        ("train_street.py", ["runs/street", "1"], r"% strict mIoU on streets .*best.safetensors$"),
    ],
)
def test_examples(script, arguments, said, place):
    done = subprocess.run([sys.executable, ROOT / "examples" / script, *arguments], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(said, done.stdout, re.MULTILINE), done.stdout
