"""One JSON object per line, whatever clients make up."""

import io
import json
import logging

import pytest

from icnet.serve.logs import event, request_id, set_up


@pytest.fixture
def log():
    root, ours = logging.getLogger(), logging.getLogger("icnet.serve")
    before = root.handlers[:], root.level, ours.level
    stream = io.StringIO()
    set_up(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def test_an_event(log):
    event("request", status=200, seconds=0.25, model=None, path="/")
    (line,) = log()
    assert list(line) == ["time", "level", "event", "status", "seconds", "path"]
    assert line | {"time": ""} == {"time": "", "level": "info", "event": "request", "status": 200, "seconds": 0.25, "path": "/"}
    assert len(line["time"]) == len("2026-01-01T00:00:00.000Z")
    assert line["time"].endswith("Z")


def test_levels(log):
    event("quiet", logging.DEBUG)
    event("loud", logging.ERROR)
    logging.getLogger("uvicorn.error").info("chatter")
    logging.getLogger("uvicorn.error").warning("something %s", "odd")
    assert [(line["event"], line["level"], line.get("logger")) for line in log()] == [
        ("loud", "error", None),
        ("something odd", "warning", "uvicorn.error"),
    ]


FORGED = ['"}\n{"event": "forged"}', "\r\n\x1b[31m\0", "\u2028\u2029\x85\x0b\x0c", "%s %d {}", "ü" * 10]


@pytest.mark.parametrize("text", [*FORGED, "\ud800"], ids=ascii)
def test_clients_cannot_forge_lines(log, text):
    event("request", path=text)
    assert [line["path"] for line in log()] == [text]


@pytest.mark.parametrize("text", FORGED, ids=ascii)
def test_libraries_cannot_forge_lines(log, text):
    event(text)
    assert [line["event"] for line in log()] == [text]


def test_an_exception_is_told_once(log):
    try:
        raise ValueError("wrong")
    except ValueError as error:
        event("error", logging.ERROR, trace=error, request_id="abc")
    (line,) = log()
    assert line["request_id"] == "abc"
    assert line["traceback"].startswith("Traceback (most recent call last)")
    assert line["traceback"].endswith("ValueError: wrong")
    assert "test_an_exception_is_told_once" in line["traceback"]


def test_what_json_cannot_hold_is_written_as_text(log):
    event("odd", value={1, 2}, path=ValueError("x"))
    assert log()[0]["value"] == "{1, 2}"


@pytest.mark.parametrize("given", ["a", "7f9c-1_b.2", "x" * 64])
def test_good_ids_are_kept(given):
    assert request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "a\r\nSet-Cookie: b", "ü", '"', "\0", "a/b", "²"])
def test_others_are_replaced(given):
    made = request_id(given)
    assert made != given
    assert made != request_id(given)
    assert len(made) == 16
    assert made.isalnum()
