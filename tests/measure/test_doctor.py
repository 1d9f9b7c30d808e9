import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np

from icnet import Segmenter, cli
from icnet.measure import doctor
from icnet.measure.doctor import EXTRAS, LEAST_AGREEMENT, agreement, examine, picture

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

BARE = """
import sys
for name in ("openvino", "keras", "av"):
    sys.modules[name] = None  # as if it were not installed
from icnet import cli
sys.exit(cli.run(["doctor", "--json"]))
"""


def test_the_default_model_gives_the_classes_of_the_reference():
    classes = Segmenter()(picture()).classes
    assert agreement(classes) > 0.99, "where the street or the model has changed, write doctor.json anew"
    assert agreement(np.roll(classes, 60, axis=0)) < LEAST_AGREEMENT
    assert agreement(np.zeros_like(classes)) < LEAST_AGREEMENT


def test_a_sound_installation_is_told_as_such(capsys):
    assert cli.run(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {one["name"]: one["value"] for one in document["findings"]}
    assert document["good"]
    assert re.fullmatch(r"\d+ of \d+ used.*", found["cores"])
    assert re.fullmatch(r"\d+ ms, 720x960", found["a frame"])
    assert {"icnet", "Python", "processor", "openvino", "CPU", "decoding", "cache", "verified", "classes"} <= set(found)


def test_without_openvino_it_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    findings = {one["name"]: one for one in json.loads(done.stdout)["findings"]}
    assert {name for name, one in findings.items() if not one["good"]} >= {"openvino", "av"}
    assert findings["openvino"]["advice"] == "pip install openvino"
    assert findings["verified"]["good"], "goes on with the rest"
    assert findings["numpy"]["good"]


def test_wrong_classes_and_a_useless_cache_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "agreement", lambda classes: 0.5)
    monkeypatch.setattr(doctor, "_packages", lambda: [])
    (tmp_path / "file").touch()
    monkeypatch.setenv("ICNET_CACHE", str(tmp_path / "file" / "cache"))
    bad = {one.name: one for one in examine() if not one.good}
    assert bad["classes"].value == "50.00% as they should be"
    assert bad["cache"].value.endswith("is a file")
    assert cli.run(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "WRONG: classes: do not trust results here" in out
    assert out.endswith("2 things are wrong\n")


def test_every_extra_is_explained():
    extras = {
        name: {re.split(r"[\[<>=~;]", need)[0] for need in needs} for name, needs in PROJECT["optional-dependencies"].items()
    }
    assert set(EXTRAS) == set(extras) - {"dev"}
    for name, (_, packages) in EXTRAS.items():
        assert set(packages) <= extras[name], name
