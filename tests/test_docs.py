import re
import runpy
from pathlib import Path

import pytest

import serve_bars
import torture
from icnet.network.registry import FOLDER, IR_SHA256, SHA256, read_model
from icnet.network.spec import PRESETS
from icnet.network.weights import load_weights
from icnet.runtime.facts import model_facts
from icnet.runtime.ir import read_about, read_ir

ROOT = Path(__file__).resolve().parents[1]


def test_the_command_reference_is_fresh():
    made = runpy.run_path(str(ROOT / "tools" / "cli_reference.py"))["reference"]()
    assert (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8") == made, "run `poe docs`"


def test_links_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_the_page_of_reliability_names_tests_that_exist():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[^`]*::[^`]*)`", page)
    assert len(named) > 20
    assert {bar for part in torture.parts() for bar in part.bars} == set(torture.AMOUNTS) < set(serve_bars.BARS)
    for file, name in (each.split("::") for each in named):
        assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), (file, name)


def test_a_broken_promise_is_seen(tmp_path, monkeypatch, capsys):
    (tmp_path / "test_x.py").write_text(
        "def test_good(record_property, seed):\n    record_property('cases', 5)\ndef test_bad(): assert 0, 'it broke'\n"
        "import pytest\n@pytest.fixture\ndef seed(): return 0\n@pytest.fixture\ndef none(): 1 / 0\ndef test_dead(none): pass\n"
    )
    rows = [("fine", "good", "good"), ("broken", "bad", "good"), ("dead", "dead", "good"), ("blind", "good", "bad")]
    page = tmp_path / "page.md"
    page.write_text(
        "\n".join(f"| {name} | | `{tmp_path}/test_x.py::test_{a}` | `{tmp_path}/test_x.py::test_{b}` |" for name, a, b in rows)
    )
    monkeypatch.setattr(torture, "PAGE", page)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # which take longer to load than these tests to run
    for (name, *_), line in zip(
        rows,
        ("5 cases, 0 wrong, 0 crashes, 5 controls, 0 blind", "1 cases, 1 wrong", "1 crashes", "1 controls, 1 blind"),
        strict=True,
    ):
        monkeypatch.setattr("sys.argv", ["torture", "--minutes", "0", "--only", name])
        assert torture.main() == (name != "fine")
        assert line in capsys.readouterr().out


@pytest.mark.parametrize("name", SHA256)
def test_the_model_card_states_what_the_file_holds(name):
    path = FOLDER / f"{name}.safetensors"
    card, weights = (FOLDER / f"{name}.md").read_text(encoding="utf-8"), load_weights(path)
    assert SHA256[name] == read_model(name).sha256
    assert SHA256[name] in card
    assert f"{path.stat().st_size:,} bytes" in card
    for rule in ("strict", "omz"):
        figure = f"{100 * weights.about[f'miou_{rule}']:.2f} %"
        assert re.search(rf"^\| {rule}.*{re.escape(figure)}", card, re.MULTILINE), rule


@pytest.mark.parametrize("name", IR_SHA256)
def test_the_model_card_of_a_quantized_model_states_what_the_files_hold(name):
    stored = read_model(name)  # which checks the checksum
    card, about = (FOLDER / f"{name}.md").read_text(encoding="utf-8"), read_about(read_ir(stored))
    assert IR_SHA256[name] in card
    for content in (stored.data, stored.binary):
        assert f"{len(content):,} bytes" in card
    for rule in ("strict", "omz"):
        assert re.search(rf"^\| {rule}.*{100 * about[f'miou_{rule}']:.2f} %", card, re.MULTILINE), rule
    told = about["quantization"]
    assert f"{100 * told['miou_strict_before']:.2f} %" in card
    assert f"{told['images']} of the {told['of']} images" in card
    assert f"seed {told['seed']}" in card
    assert ", ".join(told["names"]) in card
    assert told["float_layers"] == []


@pytest.mark.parametrize("name", SHA256)
def test_a_bundled_network_is_the_one_of_its_name(name):
    spec = load_weights(FOLDER / f"{name}.safetensors").spec
    assert spec == PRESETS[name]
    ir = f"{name}-int8"
    if ir in IR_SHA256:
        assert model_facts(ir).gflops == pytest.approx(model_facts(name).gflops)
        assert model_facts(ir).kernel_weights == model_facts(name).kernel_weights


def test_the_readme_states_the_measured_figures():
    table = re.findall(r"^\| `(icnet-[\w-]+)` .*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(SHA256) | set(IR_SHA256) <= set(table)
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        name = next((name for name in SHA256 if line.startswith(f"| `{name}`")), None)
        ir = next((name for name in IR_SHA256 if line.startswith(f"| `{name}`")), None)
        if name or ir:
            about = read_about(read_ir(read_model(ir))) if ir else load_weights(FOLDER / f"{name}.safetensors").about
            assert f"{100 * about['miou_strict']:.2f} % | {100 * about['miou_omz']:.2f} %" in line
