import base64
import dataclasses
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from icnet.base.classes import Classes
from icnet.base.sample import Sample
from icnet.evaluation.accuracy import evaluate
from icnet.evaluation.report import Contents, report, write_report
from icnet.evaluation.svg import line_chart
from icnet.evaluation.worst import worst

TABLE = Classes(("road", "<b>sky</b>", "never"))


class HalfRight:
    """Is 80 % sure that the lower half is road and the upper one sky."""

    output, size_hw, classes = "soft", (32, 48), TABLE

    def infer(self, data: np.ndarray) -> np.ndarray:
        upper = (np.arange(32) < 16)[:, None] * np.ones(48)
        return np.stack([0.8 - 0.6 * upper, 0.2 + 0.6 * upper, 0 * upper])[None].astype(np.float32)


class Made:
    classes = TABLE

    def __len__(self) -> int:
        return 15

    def __getitem__(self, index: int) -> Sample:
        labels = np.zeros((32, 48), np.uint8)
        labels[: 16 - index] = 1  # the first one is all right
        return Sample(f"made <i>{index}</i>", np.full((32, 48, 3), 10 * index, np.uint8), labels)


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.images: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action") and value]
        if tag == "img":
            self.images.append(dict(attrs)["src"])

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def result():
    return evaluate((Made()[index] for index in range(15)), HalfRight())


def contents(result, **changes) -> Contents:
    made = Contents("x & <y>", {"data": "<script>alert(1)</script>", "nothing": None}, worst(Made(), HalfRight(), result))
    return dataclasses.replace(made, **changes)


def test_the_page_shows_the_figures_and_needs_nothing_from_outside(result, tmp_path):
    write_report(tmp_path / "report.html", result, contents(result))
    page = Page((tmp_path / "report.html").read_text())
    text = " ".join(page.words)
    assert f"{100 * result.scores.miou_strict:.2f} %" in text
    assert f"{100 * result.reliability.error:.2f} %" in text
    assert "Not in the truth, so in no mean: never" in text
    assert f"{int(result.tally.truth[:, 1].sum()):,}" in text
    assert page.addresses == page.images
    assert all(uri.startswith("data:image/") for uri in page.images)
    assert "url(" not in (tmp_path / "report.html").read_text()


def test_nothing_from_outside_becomes_markup(result):
    page = Page(report(result, contents(result)))
    assert {"script", "b", "i", "y"}.isdisjoint(page.tags)
    text = "".join(page.words)
    for raw in ("<b>sky</b>", "made <i>14</i>", "<script>alert(1)</script>", "x & <y>"):
        assert raw in text


def test_the_worst_pictures_come_first_beside_truth_and_answer(result):
    shown = worst(Made(), HalfRight(), result)
    assert [one.name for one in shown] == [f"made <i>{index}</i>" for index in range(14, 2, -1)]
    assert shown[0].miou == pytest.approx((16 / 30 + 2 / 16) / 2)
    picture, truth, predicted = (
        cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
        for uri in (shown[0].picture, shown[0].truth, shown[0].predicted)
    )
    assert picture.shape == truth.shape == predicted.shape == (240, 360, 3)
    assert abs(int(picture.mean()) - 140) < 3
    road, sky = (np.array(TABLE.palette[index])[::-1] for index in (0, 1))
    assert (truth[100] == road).all()
    assert (predicted[100] == sky).all()


def test_learning_curves_of_a_log_that_may_be_damaged(result, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss,miou_strict,learning_rate\n1.0,2.0,,0.1\n2.0,1.0,0.5,0.1\n3.0,nan,<b>,0.1\n")
    found = report(result, contents(result, log=log))
    loss, miou, rate = re.findall(r'<polyline class="line" points="([^"]*)"', found)
    assert [len(points.split()) for points in (loss, miou, rate)] == [2, 1, 3]
    assert "<b>" not in found
    log.write_text("")
    assert report(result, contents(result, log=log)).count("nothing yet") == 3


def test_a_line_goes_where_its_points_are():
    points = re.findall(r'points="([^"]*)"', line_chart("t", "x", [0, 1, 2], [0, 10, 5]))[0]
    (x0, y0), (x1, y1), (x2, y2) = (tuple(map(float, point.split(","))) for point in points.split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 > y2 > y1  # down is more in SVG
    assert y0 - y2 == pytest.approx(y2 - y1, abs=0.2)
