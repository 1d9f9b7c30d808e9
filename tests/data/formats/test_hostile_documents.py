"""Every value of a document replaced by what no labelling tool writes: drawn, refused or counted, and never an error of ours."""

import copy
import json

import pytest
from coverage_documents import COCO, LABEL_STUDIO

from icnet.base.errors import DataError, InputError
from icnet.data.formats.known import open_source

ODD = [None, True, "a", -1, 0, 10**10, 10**30, 1e308, float("inf"), float("nan"), [], {}, [[]], {"a": 1}, "9" * 100, [10**30]]


def places(document, before=()):
    """The keys and positions that lead to each value."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in pairs:
        yield (*before, key)
        yield from places(value, (*before, key))


def read(folder, form: str) -> None:
    for item in open_source(folder, name=form).items:
        item.labels((48, 64))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"looked at later")
    return tmp_path


@pytest.mark.parametrize(("form", "document"), [("coco", COCO), ("label-studio", LABEL_STUDIO)])
def test_no_value_breaks_a_document(folder, form, document):
    file = folder / "c.json"
    file.write_text(json.dumps(document))
    read(folder, form)
    for place in places(document):
        for odd in ODD:
            changed = copy.deepcopy(document)
            above = changed
            for key in place[:-1]:
                above = above[key]
            above[place[-1]] = odd
            file.write_text(json.dumps(changed))
            try:
                read(folder, form)
            except (DataError, InputError):
                pass
            except Exception as error:
                raise AssertionError(f"{odd!r} at {place}") from error


def test_a_brush_of_a_number_takes_no_memory(folder):
    changed = copy.deepcopy(LABEL_STUDIO)
    changed[0]["annotations"][0]["result"][1]["value"]["rle"] = 10**10
    (folder / "c.json").write_text(json.dumps(changed))
    (item,) = open_source(folder, name="label-studio").items
    assert "a brush is no list of numbers" in str(item.labels((48, 64)).faults)


@pytest.mark.parametrize("text", ["train: 5", "train: {a: 1}", "train: [[1]]", "names: {.inf: b}", "names: {0: [a]}", "names: 5"])
def test_no_value_breaks_a_data_yaml(folder, text):
    pytest.importorskip("yaml")
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("0 0 0 0.5 0 0.5 0.5\n")
    (folder / "data.yaml").write_text(text if text.startswith("names") else f"names: [road]\n{text}\n")
    try:
        read(folder, "yolo")
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
