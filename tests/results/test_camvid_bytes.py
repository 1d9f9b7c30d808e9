"""What is made of CamVid's classes stays as it is, byte for byte, whatever else other tables of classes need.

The class map and the scores are made up of whole numbers, so that no CPU and no codec has a say in the digests.
"""

import hashlib
import io
import json

import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.deploy.omz import accuracy_check
from icnet.deploy.openvino import model_info
from icnet.evaluation.scores import confusion_matrix, scores
from icnet.media.stats import Tally
from icnet.media.table import Table
from icnet.network.spec import DENSE, PRESETS
from icnet.results.documents import FrameInfo
from icnet.results.forms import document_writer, draw
from icnet.results.style import read_style
from icnet.results.zones import read_zones
from icnet.runtime.decode import decode_both
from icnet.runtime.facts import model_facts
from icnet.runtime.segmenter import Segmentation

HEIGHT, WIDTH = 96, 128


def scores_of(height: int, width: int) -> np.ndarray:
    """(1, 12, h, w) float32 of multiples of 1/16 from 0 to 1, in blobs."""
    index, y, x = np.ogrid[:12, :height, :width]
    values = ((y // 3 * 5 + index * 7) * (x // 4 * 3 + index * 11 + 1) + index * index * y) % 17
    return (values[np.newaxis] / 16).astype(np.float32)


@pytest.fixture(scope="module")
def segmentation() -> Segmentation:
    raw = scores_of(HEIGHT // 4, WIDTH // 4)
    frame = (np.arange(HEIGHT * WIDTH * 3) % 251).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)
    classes, confidence = decode_both(raw, "soft", (HEIGHT, WIDTH), confidence=True, abstain=0.6, void=CAMVID.void)
    return Segmentation(frame, classes, CAMVID, confidence)


def digest(data: bytes | str) -> str:
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()[:16]


def pictures(segmentation: Segmentation) -> dict[str, str]:
    found = {}
    for only in (None, "Road,sky,Unlabeled", "Tree"):
        style = read_style(CAMVID, only)
        drawn = draw(segmentation, ["classes", "palette", "colour", "confidence"], style)
        drawn["legend"] = style.overlay(segmentation, opacity=1)
        found |= {f"{only} {name}": digest(picture.tobytes()) for name, picture in drawn.items()}
    return found


def documents(segmentation: Segmentation) -> dict[str, str]:
    found = {}
    for name in ("geojson", "coco", "rle"):
        for only in (None, "Road,Unlabeled"):
            text = io.StringIO()
            with document_writer(name, text, read_style(CAMVID, only, min_area=5)) as document:
                document.add(FrameInfo("a.png", 0, None), segmentation.classes)
            found[f"{only} {name}"] = digest(text.getvalue())
    return found


def numbers(segmentation: Segmentation, folder) -> dict[str, str]:
    (folder / "zones.json").write_text('{"left": [[0, 0], [0.5, 0], [0.5, 1]]}')
    zones, tally = read_zones(folder / "zones.json"), Tally()
    tally.add(segmentation, 0.5)
    with Table(folder / "t.csv", CAMVID, range(12), zones) as table:
        table.add("a.png", 0, None, segmentation)
    truth = np.roll(segmentation.classes, 3)
    matrix = confusion_matrix(truth, segmentation.classes, 12)
    return {
        "csv": digest((folder / "t.csv").read_bytes()),
        "shares": digest(json.dumps(tally.shares)),
        "scores": digest(repr(scores(matrix, CAMVID))),
    }


def models() -> dict[str, str]:
    found = {name: digest(json.dumps(spec.to_dict(), sort_keys=True)) for name, spec in PRESETS.items()}
    facts = {name: model_facts(name).to_dict() for name in ("icnet-lite", "icnet-lite-int8")}
    for one in facts.values():
        assert one.pop("classes") == CAMVID.to_dict()
        assert one.pop("size") == {"height": 720, "width": 960}
    found["model info"] = digest(json.dumps(model_info(CAMVID)))
    found["accuracy check"] = digest(json.dumps(accuracy_check("icnet", 0.7, DENSE)))
    return found


EXPECTED = {
    "None classes": "bc07e3e2974b17bd",
    "None palette": "bc07e3e2974b17bd",
    "None colour": "6293632f4e5af51d",
    "None confidence": "30edface205a0135",
    "None legend": "6293632f4e5af51d",
    "Road,sky,Unlabeled classes": "6d6284199d1c15ed",
    "Road,sky,Unlabeled palette": "6d6284199d1c15ed",
    "Road,sky,Unlabeled colour": "99259641197f87f2",
    "Road,sky,Unlabeled confidence": "30edface205a0135",
    "Road,sky,Unlabeled legend": "c0b362c6d2d0d526",
    "Tree classes": "ede33b659dc19cf2",
    "Tree palette": "ede33b659dc19cf2",
    "Tree colour": "420bca6fa08c0bfa",
    "Tree confidence": "30edface205a0135",
    "Tree legend": "4e38d425ea2f58c3",
    "None geojson": "ffbc59e9d6d44fa1",
    "Road,Unlabeled geojson": "effc1d9af0f7a98e",
    "None coco": "f606c6af45a0fa31",
    "Road,Unlabeled coco": "36cfc67d7b27e238",
    "None rle": "599685235672e59b",
    "Road,Unlabeled rle": "14ce651dbe82710e",
    "csv": "b8331df5409ca6ff",
    "shares": "ecb9f50a478cfcb1",
    "scores": "f9a849aa90e19a77",
    "icnet-lite": "ad49ebdc2936219b",
    "icnet-lite-large": "69d46b6c15169d10",
    "icnet-camvid-ava-0001": "701c1d4d0173d61f",
    "icnet-camvid-ava-sparse-60-0001": "60a057734d4001e4",
    "icnet-camvid-ava-compact-60-0001": "9cb06b9d8af502c1",
    "model info": "088902a0b415bf33",
    "accuracy check": "520f7b399803517c",
}


def test_digests(segmentation, tmp_path):
    found = pictures(segmentation) | documents(segmentation) | numbers(segmentation, tmp_path) | models()
    assert found == EXPECTED
