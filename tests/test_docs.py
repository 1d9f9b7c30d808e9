import re
import runpy
from pathlib import Path

import pytest
import typer

from icnet.base.registry import FOLDER, SHA256
from icnet.base.weights import file_sha256, load_weights
from icnet.cli import app

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = typer.main.get_command(app).commands


def test_the_command_reference_is_fresh():
    made = runpy.run_path(str(ROOT / "tools" / "cli_reference.py"))["reference"]()
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == made, "run `poe docs`"


def test_commands_in_the_readme_exist():
    lines = re.findall(r"^icnet (\w+)(.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) > 5
    for verb, rest in lines:
        known = {option for parameter in COMMANDS[verb].params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest.split("#")[0])) <= known, (verb, rest)


@pytest.mark.parametrize("name", SHA256)
def test_the_model_card_states_what_the_file_holds(name):
    path = FOLDER / f"{name}.safetensors"
    card, weights = (FOLDER / f"{name}.md").read_text(encoding="utf-8"), load_weights(path)
    assert SHA256[name] == file_sha256(path)
    assert SHA256[name] in card
    assert f"{path.stat().st_size:,} bytes" in card
    for rule in ("strict", "omz"):
        figure = f"{100 * weights.about[f'miou_{rule}']:.2f} %"
        assert re.search(rf"^\| {rule}.*{re.escape(figure)}", card, re.MULTILINE), rule


def test_the_readme_states_the_measured_figures():
    table = re.findall(r"^\| `(icnet-[\w-]+)` .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(SHA256) <= set(table)
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        name = next((name for name in SHA256 if line.startswith(f"| `{name}`")), None)
        if name:
            about = load_weights(FOLDER / f"{name}.safetensors").about
            assert f"{100 * about['miou_strict']:.2f} % | {100 * about['miou_omz']:.2f} %" in line
