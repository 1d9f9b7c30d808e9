import json
import random
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from icnet.serve.errors import BadRequest
from icnet.serve.inference import json_body
from icnet.serve.inference.json_body import LONGEST, read_json
from icnet.serve.inference.tensors import from_bytes, from_json, from_varints, to_bytes, to_json

SHAPE = (1, 2, 3, 3)


def tensor(shape=SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_bytes():
    values = tensor()
    assert np.array_equal(from_bytes(values.tobytes(), SHAPE), values)
    for data in (b"", values.tobytes()[1:], values.tobytes() + b"\0"):
        with pytest.raises(BadRequest, match=f"asks for 18 bytes and the binary data has {len(data)}"):
            from_bytes(data, SHAPE)
    assert bytes(to_bytes(values.transpose(0, 2, 1, 3))) == values.transpose(0, 2, 1, 3).tobytes()


@pytest.mark.parametrize("spacing", [{"separators": (",", ":")}, {}, {"indent": 3}])
@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1, 3), (1, 90, 400, 3)])
def test_json_flat_and_nested_in_any_spacing(shape, spacing):
    values = tensor(shape)
    for data in (values.ravel().tolist(), values.tolist()):
        assert np.array_equal(from_json(json.dumps(data, **spacing).encode(), shape), values)
    text = "[" + ",\r\n\t ".join(map(str, values.ravel().tolist())) + "\r\n]"
    assert np.array_equal(from_json(text.encode(), shape), values)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "1,2,3", "[1,2]", "[1,2,3,4]", "[1,2,256]", "[1,2,1000]", "[1,2,-1]", "[1,2,1.0]", "[1,2,1e1]", "[1,2,01]",
        "[1,2,00]", "[1,2,true]", "[1,2,null]", '[1,2,"3"]', "[1,2,NaN]", "[1,2,3", "1,2,3]", "[1,2,3]]", "[[1,2,3]", "[1,2,3,]",
        "[,1,2,3]", "[1,,2,3]", "[1 1,2,3]", "[1\n2,3,3]", "[[1],[2],[3]]", "[[1,2,3]]", "[[[[1,2],3]]]", "[[[[[1,2,3]]]]]",
        "[1,2,3]#", "#[1,2,3]", "[1,2,#3]", "[1,2,3]\x00", "[1,2,\x0b3]", "{1,2,3}", "[1,2,3] [", "[1,2,25 5]",
    ],
)  # fmt: skip
def test_json_that_is_not_the_tensor(text):
    with pytest.raises(BadRequest, match="must be 3 integers from 0 to 255, flat or nested"):
        from_json(text.encode(), (1, 1, 1, 3))


def test_json_agrees_with_a_parser_whatever_the_text():
    chance, shape = random.Random(1), (1, 1, 2, 3)
    good = ["[1,20,255,0,3,99]", "[[[[1,20,255],[0,3,99]]]]"]
    right = 0
    for _ in range(3000):
        text = list(chance.choice(good))
        for _ in range(chance.randint(0, 3)):
            text[chance.randrange(len(text))] = chance.choice(
                ["", " ", "0", "1", "9", ",", "[", "]", "-", ".", "\n", "e", "#", "7,7"]
            )
        text = "".join(text)
        try:
            data = json.loads(text)
            expected = np.array(data).reshape(shape) if np.shape(data) in ((6,), shape) else None
        except ValueError:
            expected = None
        if expected is not None and (expected.dtype.kind != "i" or "-" in text or expected.max() > 255):
            expected = None
        try:
            found = from_json(text.encode(), shape)
        except BadRequest:
            found = None
        assert (found is None) == (expected is None), text
        if found is not None:
            right += 1
            assert np.array_equal(found, expected), text
    assert 500 < right < 2500


def test_varints():
    values = tensor()
    packed = b"".join(bytes([value]) if value < 128 else bytes([value, 1]) for value in values.ravel().tolist())
    assert np.array_equal(from_varints([packed], [], SHAPE), values)
    assert np.array_equal(from_varints([packed[:0], packed], [], SHAPE), values)
    assert np.array_equal(from_varints([], values.ravel().tolist(), SHAPE), values)


@pytest.mark.parametrize(
    ("pieces", "others"),
    [
        ([b"\1\2"], []), ([b"\1\2\3\4"], []), ([b"\1\2\x80"], []), ([b"\1\2\x80\2"], []), ([b"\1\2\x80\0"], []), ([], []),
        ([b"\1\2\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"], []), ([b"\1\2"], [3]),
        ([], [1, 2, 256]), ([], [1, 2, -1]), ([], [1, 2]),
    ],
)  # fmt: skip
def test_varints_that_are_not_the_tensor(pieces, others):
    with pytest.raises(BadRequest, match="must have 3 integers from 0 to 255"):
        from_varints(pieces, others, (1, 1, 1, 3))


@pytest.mark.parametrize("count", [0, 1, 70_000, 1 << 17])
def test_to_json(count):
    for values in (tensor((count,)), np.linspace(-3, 3, count, dtype=np.float32)):
        text = b"".join(to_json(values))
        assert np.array_equal(np.array(json.loads(text), values.dtype), values)


DATA = ("inputs", 0, "data")


def large(data: str, before: str = "", after: str = "") -> bytes:
    return f'{{{before}"inputs":[{{"data":{data}}}]{after}}}'.encode()


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("spacing", [{"separators": (",", ":")}, {}, {"indent": 1}])
def test_a_large_array_is_cut_out_of_json(nested, spacing):
    values = tensor((1, 100, 400, 3))
    document = {"id": 'a "[1,2,3]" \\', "inputs": [{"shape": [1, 2], "data": None, "more": [1, 2]}], "outputs": [{"name": "é"}]}
    document["inputs"][0]["data"] = values.tolist() if nested else values.ravel().tolist()
    body = json.dumps(document, **spacing).encode()
    assert len(body) > LONGEST
    parsed = read_json(body, 16, array_at=DATA)
    assert parsed.cut is not None
    assert np.array_equal(from_json(parsed.text(parsed.document["inputs"][0].pop("data")), values.shape), values)
    del document["inputs"][0]["data"]
    assert parsed.document == document


def test_small_json_is_parsed_as_it_is():
    parsed = read_json(large("[1, 2, 3]"), 16)
    assert parsed.cut is None
    assert parsed.text(parsed.document["inputs"][0]["data"]) == b"[1,2,3]"
    for value in (None, "x", 3, {}):
        with pytest.raises(BadRequest, match="must be an array"):
            parsed.text(value)


LONG = "[" + "1," * LONGEST + "1]"


@pytest.mark.parametrize(
    "body",
    {
        "string": large(f'"{LONG}"'),
        "end of string": large(f'"x:{LONG}"'),
        "after a quote in a string": large(f'"\\":{LONG}"'),
        "after a minus": large("-" + LONG),
        "no array": large(LONG[1:]),
        "after an open string": large(LONG, '"x":"'),
        "two arrays": large(LONG, f'"x":{LONG},'),
        "two values": large(LONG[:-1] + f",{LONG}]", after=f',"b":{LONG}'),
        "floats": large(LONG.replace("1,", "1.5,")),
        "long string": large(LONG, f'"x":"{"y" * LONGEST}",'),
        "many objects": b"[" + large(LONG) + b"," + b"{}," * LONGEST + b"{}]",
        "no object": LONG.encode(),
        "digits": b"1" * (2 * LONGEST),
        "spaces": b" " * (2 * LONGEST),
        "bytes": b"\xff" * (2 * LONGEST),
    }.items(),
    ids=lambda item: item[0],
)
def test_large_json_beside_an_array_is_refused(body):
    with pytest.raises(BadRequest, match="more than 256 KiB of JSON beside one array of integers"):
        read_json(body[1], 16, array_at=DATA)


@pytest.mark.parametrize(
    "body",
    {
        "id": large("[1]", f'"id":{LONG},'),
        "another key": large("[1]", after=f',"{LONG}":{LONG}'.replace(LONG, "x", 1)),
        "shape": large(LONG).replace(b"data", b"shape"),
        "second input": large("[1]").replace(b"}]", b'},{"data":' + LONG.encode() + b"}]"),
        "within the data": large(f'{{"a":{LONG}}}'),
        "data given twice": large(LONG).replace(b"}]", b',"data":[1]}]'),
        "no inputs": f'{{"x":{LONG}}}'.encode(),
        "inputs an object": f'{{"inputs":{{"data":{LONG}}}}}'.encode(),
        "in a list": f'[{{"inputs":{LONG}}}]'.encode(),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_large_array_elsewhere_is_refused(body):
    with pytest.raises(BadRequest, match="a large array is taken as the data of the input only"):
        read_json(body[1], 16, array_at=DATA)
    with pytest.raises(BadRequest, match="a large array is taken"):
        read_json(large(LONG), 16)


def test_what_stands_for_an_array_is_another_string_each_time():
    body = large(LONG)
    first, second = (read_json(body, 16, array_at=DATA).document["inputs"][0]["data"] for _ in range(2))
    assert first != second
    forged = read_json(large(f'"{first}"', f'"x":{LONG},').replace(LONG.encode(), b"[1]"), 16, array_at=DATA)
    with pytest.raises(BadRequest, match="must be an array"):
        forged.text(forged.document["inputs"][0]["data"])


@pytest.mark.parametrize("end", [-3, -2, -1, 0, 1, 2, 3])
def test_an_array_that_begins_or_ends_about_where_a_chunk_does(end):
    """The longest run is found, and whole, however it and shorter ones lie in the chunks."""
    short = "[" + "1," * 35_000 + "1]"
    for first, last in ("00", (short, "0"), ("0", short)):
        before = f'"x":"","y":{first},'
        room = -len(large("", before)) % json_body._CHUNK + end + json_body._CHUNK
        body = large("[" + "1," * LONGEST + "22]", before.replace('""', f'"{"z" * room}"'), f',"after":{last}')
        parsed = read_json(body, 16, array_at=DATA)
        assert parsed.cut == b"[" + b"1," * LONGEST + b"22]"
        assert len(parsed.document["x"]) == room


def refused_cheaply(body: bytes, call: Callable[[bytes], object]) -> None:
    """It takes little memory beside the body."""
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest):
            call(body)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("sign", [b"x", b"1", b" ", b"[", b"1x", b'"', b"\xff", b"[1,2,3],x"])
def test_a_large_body_without_an_array_takes_no_memory(sign):
    body = sign * ((32 << 20) // len(sign))
    for before in (b"", b'{"inputs":[{"data":', b'{"a":'):
        refused_cheaply(before + body, lambda body: read_json(body, 16, array_at=DATA))


@pytest.mark.parametrize("sign", [b" ", b"1", b"1 ", b"[", b"]", b"1,x", b"[ "])
def test_a_large_text_that_is_no_array_takes_no_memory(sign):
    refused_cheaply(b"[" + sign * ((16 << 20) // len(sign)) + b"]", lambda text: from_json(text, (1, 3, 4, 3)))


@pytest.mark.parametrize("data", [LONG + LONG, LONG[:-1] + "]]", "[" + LONG, LONG.replace("1,", "1 ", 1)], ids=range(4))
def test_what_is_cut_out_is_checked_when_it_is_read(data):
    parsed = read_json(large(data), 16, array_at=DATA)
    with pytest.raises(BadRequest, match="integers from 0 to 255"):
        from_json(parsed.text(parsed.document["inputs"][0]["data"]), (1, 1, (LONGEST + 1) // 3 + 1, 3))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"a":NaN}', b"{} {}", large(LONG, after="]"), large(LONG, '"x" ')], ids=range(7)
)
def test_not_json(body):
    with pytest.raises(BadRequest, match="the body is not JSON"):
        read_json(body, 16)


@pytest.mark.parametrize("inside", ["[" * 16 + "]" * 16, '{"a":' * 16 + "1" + "}" * 16, '[{"a":' * 8 + "1" + "}]" * 8])
def test_json_is_as_deep_as_allowed(inside):
    assert read_json(inside.encode(), 16).document
    with pytest.raises(BadRequest, match="deeper than 15"):
        read_json(inside.encode(), 15)


def test_brackets_in_strings_are_no_depth():
    for text in ("[" * 90, '\\"' * 5 + "{" * 90, "\\\\", "\\\\\\" + '"' + "[" * 90):
        body = f'{{"{text}": "{text}", "end": ["{text}"]}}'.encode()
        assert read_json(body, 2).document["end"]
    with pytest.raises(BadRequest, match="deeper"):
        read_json(b'{"\\\\": ' + b"[" * 90 + b'"', 16)


def test_a_body_of_anything_is_not_looked_at_to_its_end():
    seconds = []
    for sign in b"x", b"1":
        begun, body = time.thread_time(), sign * (32 << 20)
        with pytest.raises(BadRequest):
            read_json(body, 16)
        seconds.append(time.thread_time() - begun)
    assert seconds[0] < seconds[1] / 2


def test_the_nesting_is_not_looked_for_without_end():
    with pytest.raises(BadRequest):
        from_json(b"[" + b" " * (1 << 17) + b"[[[1,2,3]]]]", (1, 1, 1, 3))


def test_hostile_json_takes_no_time():
    begun = time.process_time()
    for body in (b'"' * LONGEST, b'\\"' * (LONGEST // 2), b'"' + b"\\" * (LONGEST - 1), b'"\\"' * (LONGEST // 3), b"[" * LONGEST):
        with pytest.raises(BadRequest):
            read_json(body, 16)
        with pytest.raises(BadRequest):
            read_json(body[: LONGEST - 9] + b":" + LONG.encode(), 16)
    assert time.process_time() - begun < 2
