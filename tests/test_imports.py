"""The rooms import in one direction, and what runs on every machine needs no Keras."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import icnet

SOURCE = Path(__file__).resolve().parents[1] / "src"

ALLOWED: dict[str, set[str]] = {
    "base": set(),
    "pruning": {"base.errors"},
    "hub": {"base"},
    "network": {"base", "pruning", "hub"},
    "street": {"base"},
    "pictures": {"base"},
    "data": {"base", "network.spec", "pictures", "street"},
    "runtime": {"base", "network"},
    "results": {"base", "runtime"},
    "media": {"base", "pictures", "runtime", "results"},
    "evaluation": {"base", "network", "runtime"},
    "training": {"base", "pruning", "network", "data", "evaluation", "runtime.overlay"},
    "deploy": {"base", "hub", "network", "data", "runtime", "evaluation"},
    "measure": {"base", "network", "street", "runtime", "deploy", "evaluation"},
    "serve": {"base", "network", "street", "runtime", "results", "pictures", "media"},
}
ALLOWED["cli"] = set(ALLOWED)
"""Room to the rooms, or single modules, that it may import; its own modules always."""


def imported(tree: ast.AST) -> set[str]:
    """Every module of the package that a file names in an import, inside functions too, without the leading `icnet.`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("icnet.") for name in names if name.startswith("icnet.")}


def forbidden(room: str, tree: ast.AST) -> set[str]:
    """Those of a file's imports that its room may not have."""
    allowed = ALLOWED[room] | {room}
    rooms = {name for name in imported(tree) if name.split(".")[0] in ALLOWED}
    return {name for name in rooms if not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)}


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_import_in_one_direction(room):
    paths = sorted((SOURCE / "icnet" / room).rglob("*.py"))
    assert paths
    found = {path.name: forbidden(room, ast.parse(path.read_text(encoding="utf-8"))) for path in paths}
    assert {name: names for name, names in found.items() if names} == {}


def test_every_room_is_known():
    rooms = {path.parent.name for path in (SOURCE / "icnet").glob("*/__init__.py")}
    assert rooms == set(ALLOWED)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("base", "from icnet.runtime.engine import Engine"),
        ("network", "import icnet.training.trainer"),
        ("pruning", "from icnet.network.keras_layers import Resize"),
        ("media", "def f():\n    from icnet.data import street"),
        ("training", "from icnet.runtime.engine import Engine"),
        ("evaluation", "from icnet.deploy import omz"),
        ("runtime", "from icnet import training"),
    ],
)
def test_the_check_finds_a_wrong_import(room, line):
    assert forbidden(room, ast.parse(line))


def test_the_check_allows_the_rooms_below():
    assert not forbidden("training", ast.parse("from icnet.evaluation.accuracy import evaluate"))


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules that are loaded after `code` ran in a new interpreter."""
    report = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_the_package_and_its_command_line_load_light():
    heavy = {"keras", "tensorflow", "torch", "jax", "openvino", "av", "cv2"}
    assert loaded_by("import icnet, icnet.cli") & heavy == set()
    assert "numpy" not in loaded_by("import icnet")


def test_every_public_name_is_there_and_typed():
    assert set(icnet.__all__) <= set(dir(icnet))
    for name in icnet.__all__:
        assert getattr(icnet, name)
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        icnet.Trainer  # noqa: B018
    assert (SOURCE / "icnet" / "py.typed").is_file()


def modules_of(*rooms: str) -> list[str]:
    paths = (path.relative_to(SOURCE) for room in rooms for path in sorted((SOURCE / "icnet" / room).rglob("[a-z]*.py")))
    return [".".join(path.with_suffix("").parts) for path in paths]


def test_what_runs_a_network_needs_no_keras():
    modules = modules_of("runtime", "results", "media", "serve")
    modules += ["icnet.cli.segment", "icnet.cli.serve", "icnet.cli.info", "icnet.cli.demo", "icnet.street.drive"]
    code = "import sys\nsys.modules['keras'] = sys.modules['tensorflow'] = None  # as if they were not installed\n"
    code += "".join(f"import {module}\n" for module in modules)
    code += "from icnet import Segmenter\ndel sys.modules['keras'], sys.modules['tensorflow']"
    loaded = loaded_by(code)
    assert loaded & {"keras", "tensorflow", "torch", "jax"} == set()
    assert loaded >= {"openvino", "av", "cv2"}


def test_a_picture_of_a_result_needs_no_ffmpeg():
    code = "; ".join(f"import {module}" for module in modules_of("results", "serve/pictures"))
    assert "av" not in loaded_by(code)


def test_training_needs_no_openvino():
    assert loaded_by("import icnet.training.trainer") & {"openvino", "av"} == set()
