"""The ways in, as `docs/serve.md` tells them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from serving import serving

from icnet.network.spec import DEFAULT_MODEL
from icnet.runtime.segmenter import Segmenter

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An address, in a folder that looks like one where `icnet demo` has run."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "icnet-demo").mkdir()
    frame = np.random.default_rng(0).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    frame = cv2.resize(frame, (240, 180), interpolation=cv2.INTER_CUBIC)
    assert cv2.imwrite(str(folder / "icnet-demo" / "street.png"), frame)
    with pytest.MonkeyPatch.context() as patch, serving(DEFAULT_MODEL) as addresses:
        patch.chdir(folder)
        yield addresses.http.removeprefix("http://"), Segmenter()(frame)


def test_tritonclient(server, capsys):
    address, _ = server
    (code,) = blocks("python")
    names: dict = {}
    exec(code.replace("127.0.0.1:8000", address), names)
    assert np.array_equal(names["result"].as_numpy("classes")[0], server[1].classes)
    assert capsys.readouterr().out == "(1, 180, 240)\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(server):
    address, expected = server
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("curl") and "127.0.0.1" in line]
    assert len(lines) == 3
    said = [
        subprocess.run(line.replace("127.0.0.1:8000", address), shell=True, check=True, capture_output=True).stdout
        for line in lines
    ]
    assert np.array_equal(cv2.imread("classes.png", cv2.IMREAD_UNCHANGED), expected.classes)
    assert cv2.imread("overlay.png").shape == (180, 240, 3)
    assert json.loads(said[2])["shares"] == expected.shares()
