"""Keras is asked for before it is needed, and what is missing is told in one line."""

import importlib.util
import os
import subprocess
import sys

import pytest

from icnet.base.errors import UsageError
from icnet.evaluation.reference import require_keras


def refusal(monkeypatch: pytest.MonkeyPatch, *, backend: str | None, missing: str | None = None) -> str:
    """The text of the error, with `missing` as if it were not installed."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    if backend is not None:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(UsageError) as caught:
        require_keras("train")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("backend", ["foo", "numpy"])
def test_an_unknown_backend_is_refused_with_the_known_ones(monkeypatch, backend):
    text = refusal(monkeypatch, backend=backend)
    assert repr(backend) in text
    assert "tensorflow, jax, torch" in text


def test_without_keras_the_extra_is_named(monkeypatch):
    text = refusal(monkeypatch, backend=None, missing="keras")
    assert "'keras'" in text
    assert "pip install 'icnet[train]'" in text
    assert os.environ["KERAS_BACKEND"] == "tensorflow"


@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="Keras is not installed")
@pytest.mark.parametrize(("backend", "cure"), [("tensorflow", "pip install 'icnet[export]'"), ("jax", "install jax or unset")])
def test_a_backend_that_is_not_installed(backend, cure):
    # In a process of its own: within this one Keras and its backend are loaded already.
    code = (
        f"import sys; sys.modules[{backend!r}] = None\n"
        "from icnet.base.errors import UsageError\n"
        "from icnet.evaluation.reference import require_keras\n"
        "try: require_keras('export')\n"
        "except UsageError as error: print(error)"
    )
    environment = os.environ | {"KERAS_BACKEND": backend}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert told.count("\n") == 1
    assert backend in told
    assert cure in told


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize(("there", "chosen"), [(True, "torch"), (False, "tensorflow")])
def test_training_takes_the_faster_backend_where_it_is(there, chosen, tmp_path):
    (tmp_path / "keras.py").touch()  # the real one would load the backend
    code = (
        "import os\n"
        "from icnet.evaluation import reference\n"
        f"if not {there}: reference.find_spec = lambda name: None\n"
        "reference.require_keras('train', training=True)\n"
        "print(os.environ['KERAS_BACKEND'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert told.split() == [chosen]
