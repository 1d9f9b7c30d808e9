"""Models from elsewhere that would take this process down."""

import os
import random
import re
import subprocess
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from tiny_network import TINY

from icnet.base.classes import CAMVID
from icnet.base.errors import ModelError
from icnet.base.places import CACHE
from icnet.deploy.openvino import save_ir
from icnet.network.openvino_model import openvino_model
from icnet.network.stored import read_stored
from icnet.network.weights import random_weights
from icnet.runtime import trial
from icnet.runtime.engine import Engine, EngineOptions
from icnet.runtime.facts import model_facts

pytestmark = pytest.mark.tried


@pytest.fixture
def ir(tmp_path) -> Path:
    """One without a digest, as other programs write it."""
    ov.save_model(openvino_model(random_weights(TINY, seed=1)), str(tmp_path / "m.xml"), compress_to_fp16=False)
    return tmp_path / "m.xml"


def give(output, path: Path) -> Path:
    """An IR of this output, which depends on the input."""
    parameter = ops.parameter([1, 64, 96, 3], np.float32)
    parameter.output(0).set_names({"data"})
    sum_ = ops.reduce_sum(parameter, np.array([0, 1, 2, 3]), False)
    result = ops.broadcast(sum_, np.array(output, np.int64))
    result.output(0).set_names({"logits"})
    ov.save_model(ov.Model([ops.result(result)], [parameter], "m"), str(path), compress_to_fp16=False)
    return path


def crashing(path: Path) -> Path:
    """A pooling of nothing, which OpenVINO 2026.4 dies of when it reads it."""
    text = path.read_text()
    assert 'type="Const"' in text
    path.write_text(text.replace('type="Const"', 'type="MaxPool"', 1))
    return path


def test_a_model_that_crashes_openvino_is_refused(ir):
    crashing(ir)
    for use in (Engine, model_facts):
        with pytest.raises(ModelError, match=r"m\.xml makes OpenVINO crash, or takes too much memory: export it again"):
            use(str(ir))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ([1, 12, 0, 0], r"maps \[1,64,96,3\] to \[1,12,0,0\]: expected"),
        ([2, 12, 16, 24], r"to \[2,12,16,24\]: expected"),
        ([1, 12, 40_000_000, 40_000_000], r"cannot be run by OpenVINO \(.*\): export it again"),
    ],
    ids=["nothing", "two", "too much memory"],
)
def test_an_output_of_no_use_is_refused(tmp_path, output, said):
    with pytest.raises(ModelError, match=said) as caught:
        Engine(give(output, tmp_path / "m.xml"))
    assert "\n" not in str(caught.value)


def test_what_went_well_is_remembered(ir, tmp_path, monkeypatch):
    calls, real = [], subprocess.run
    monkeypatch.setattr(trial.subprocess, "run", lambda *rest, **given: calls.append(rest) or real(*rest, **given))
    for cache, tries in (("", 2), (str(tmp_path / "cache"), 1)):
        monkeypatch.setenv(CACHE, cache)
        calls.clear()
        for _ in range(2):
            assert Engine(ir, EngineOptions(threads=1)).output == "logits"
        assert len(calls) == tries


def test_bundled_models_and_failures_of_the_system(ir, monkeypatch):
    def none(*rest, **given):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setenv(CACHE, "")
    monkeypatch.setattr(trial.subprocess, "run", none)
    Engine(options=EngineOptions(threads=1))
    with pytest.raises(ModelError, match=r"cannot try .*m\.xml: no process can be started \(Resource temporarily unavailable\)"):
        Engine(ir)


def test_the_trial_takes_no_module_from_the_present_folder(ir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numpy.py").write_text("raise SystemExit(7)")
    trial.try_out(read_stored(ir))


def test_a_sealed_file_is_tried_too(tmp_path, monkeypatch):
    save_ir(openvino_model(random_weights(TINY, seed=1)), tmp_path / "m.xml", {}, CAMVID)
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    Engine(tmp_path / "m.xml")
    assert len(list((tmp_path / "cache").glob("*.tried"))) == 1


def changed(text: str, seed: int) -> str:
    """An IR with one thing changed: a value, a layer, an edge or some letters."""
    generator = random.Random(seed)
    kind = generator.choice(["value", "value", "value", "layer", "edge", "letters"])
    pattern = {
        "value": r'(?<==")[^"]*(?=")|(?<=<dim>)\d+',
        "layer": r"(?s)<layer .*?</layer>",
        "edge": r"<edge .*?/>",
        "letters": r".",
    }
    one, other = (generator.choice(list(re.finditer(pattern[kind], text))) for _ in range(2))
    numbers = ["-1", "0", "1", "7", "65536", "9223372036854775807", "18446744073709551615", "nan", "", "1,1", "100000,100000"]
    new = generator.choice([*numbers, other[0], other[0]] if kind == "value" else ["", one[0] * 2, other[0]])
    return text[: one.start()] + new + text[one.end() :]


def test_changed_models_run_or_are_refused(ir, seed, record_property):
    whole, refused = ir.read_text(), list[str]()
    count = 60 if "ICNET_TEST_SEED" in os.environ else 6
    for number in range(count):
        ir.write_text(changed(whole, 1000 * seed + number))
        try:
            Engine(ir, EngineOptions(threads=1))
        except ModelError as error:
            refused.append(str(error))
    record_property("cases", count)
    record_property("figure", f"{len(refused)} refused")
    assert refused
    assert not [text for text in refused if "\n" in text]
