import itertools
import time

import numpy as np
import pytest

from icnet.serve.errors import BadRequest
from icnet.serve.http.multipart import picture_part

TYPE = "multipart/form-data; boundary=xYzZY"
PICTURE = bytes(range(256)) * 3


def part(content: bytes = PICTURE, head: bytes = b'form-data; name="image"; filename="a.png"', more: bytes = b"") -> bytes:
    return b"--xYzZY\r\nContent-Disposition: " + head + b"\r\n" + more + b"\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--xYzZY--\r\n"


def refusal(body: bytes, content_type: str = TYPE) -> str:
    with pytest.raises(BadRequest) as caught:
        picture_part(body, content_type)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 150
    return str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        form(part()),
        form(part(head=b"form-data; name=image")),
        form(part(head=b'form-data; name="image"', more=b"Content-Type: image/png\r\nX-Any: thing\r\n")),
        b"\r\n" + form(part()) + b"and an epilogue",
        form(part()).removesuffix(b"\r\n"),
        form(part(head=b'form-data; filename="; name=x"; name="image"')),
        form(part()).replace(b"Content-Disposition", b"content-DISPOSITION"),
    ],
)
def test_the_picture_is_taken_out(body):
    assert picture_part(body, TYPE) == PICTURE


@pytest.mark.parametrize(
    "content_type", ['multipart/form-data; boundary="xYzZY"', "Multipart/Form-Data;charset=x;Boundary=xYzZY"]
)
def test_the_header_may_be_written_otherwise(content_type):
    assert picture_part(form(part()), content_type) == PICTURE


def test_content_like_a_boundary_is_content():
    pieces = [b"\r", b"\n", b"-", b"--", b"xYzZ", b"x", b"\r\n--xYzZ", b"\r\n-", b"\r\n", b"--xYzZY"]
    generator = np.random.default_rng(0)
    for _ in range(300):
        content = b"".join(pieces[index] for index in generator.integers(0, len(pieces), 12))
        if b"\r\n--xYzZY" not in b"\r\n" + content:
            assert picture_part(form(part(content)), TYPE) == content, content


def test_an_empty_part_is_an_empty_picture():
    assert picture_part(form(part(b"")), TYPE) == b""


@pytest.mark.parametrize("cut", range(1, 40))
def test_what_is_cut_off_is_refused(cut):
    whole = form(part(b"picture")).removesuffix(b"\r\n")
    refusal(whole[:-cut])


def test_why_a_form_is_refused():
    assert "without a boundary" in refusal(form(part()), "multipart/form-data")
    assert "without a boundary" in refusal(form(part()), "multipart/form-data; boundary=")
    assert "no valid multipart" in refusal(form(part()), "multipart/form-data; boundary=other")
    assert "no valid multipart" in refusal(form(part()), f"multipart/form-data; boundary={'x' * 5000}")
    assert "no valid multipart" in refusal(b"no form")
    assert "cut off" in refusal(b"")
    assert "the form is empty" in refusal(form())
    assert "more than one part" in refusal(form(part(), part()))
    assert "too many parts" in refusal(form(*[part()] * 9))
    assert "more than one part" in refusal(form(part(), part(b"5", b'form-data; name="min_area"')))
    assert "another name" in refusal(form(part(head=b'form-data; name="file"; filename="image"')))
    assert "another name" in refusal(form(part(head=b"form-data")))
    assert "another name" in refusal(form(part()).replace(b"Content-Disposition", b"Content-Type"))
    assert "no valid multipart" in refusal(form(part(more=b"no header\r\n")))
    assert "expected one part called image" in refusal(form(part(), part()))


def test_headers_have_limits():
    assert picture_part(form(part(head=b'form-data; name="image"; filename="' + b"x" * 10_000 + b'"')), TYPE) == PICTURE
    assert "no valid multipart" in refusal(form(part(more=b"X: " + b"x" * 20_000 + b"\r\n")))
    assert "no valid multipart" in refusal(form(part(more=b"X: x\r\n" * 8)))


def test_hostile_forms_take_no_time_and_leave_no_log(caplog, capfd):
    size = 4 << 20
    units = (b"\r\n--xYzZYX", b"\r\n--xYzZY-X", b"\r\n--xYzZY \t", b"\r\n--xYzZY\r\n", b"\r\n--xYzZ", b"\r", b"-", b"\r\n-")
    start = time.perf_counter()
    for unit, head in itertools.product(units, (part()[:-2], b"", b"--xYzZY\r\n", b"--xYzZY\r\nA: ")):
        refusal(head + unit * (size // len(unit)))
    assert time.perf_counter() - start < 3
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_damaged_forms_are_refused_or_give_some_content():
    generator = np.random.default_rng(1)
    refused, whole = 0, form(part(b"picture", more=b"Content-Type: image/png\r\n"))
    for _ in range(2000):
        body = bytearray(whole)
        for place in generator.integers(0, len(body), generator.integers(1, 4)):
            body[place] = generator.integers(0, 256)
        try:
            picture_part(bytes(body), TYPE)
        except BadRequest:
            refused += 1
    assert 500 < refused < 2000
