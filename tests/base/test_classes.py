"""A table of classes: what it derives, what it refuses, and its way through JSON."""

import json

import pytest

from icnet.base.classes import CAMVID, MOST, OUTSIDE, Classes, default_palette
from icnet.base.errors import UsageError

FRUIT = Classes(("Green apple", "pear", "No fruit"), void=2)


def test_a_table_derives_colours_and_what_is_scored() -> None:
    assert FRUIT.palette == ((128, 0, 0), (0, 128, 0), (0, 0, 0))
    assert FRUIT.scored == (0, 1)
    assert FRUIT.palette_rgb.shape == (3, 3)
    assert FRUIT.index(" green APPLE") == 0
    assert FRUIT.ignored == (OUTSIDE,)
    assert len(CAMVID) == 12
    assert CAMVID.scored == tuple(range(11))


def test_default_colours_are_those_of_pascal_voc_and_all_differ() -> None:
    colours = default_palette(MOST)
    assert colours[14:16] == ((192, 128, 128), (0, 64, 0))  # person and potted plant, 15 and 16 with the background before them
    assert len(set(colours)) == MOST
    assert (0, 0, 0) not in colours


@pytest.mark.parametrize("table", [CAMVID, FRUIT, Classes(("a", "b"), ignored=(254, 255))])
def test_a_table_survives_json(table: Classes) -> None:
    assert Classes.from_dict(json.loads(json.dumps(table.to_dict()))) == table
    assert Classes.from_dict({"names": list(table.names)}).names == table.names


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "names at least"),
        ([], "names at least"),
        ({"names": ["a", "b"], "colour": 1}, "has the fields"),
        ({"names": "ab"}, "expected a list"),
        ({"names": ["one"]}, "1 class names: expected 2 to 255"),
        ({"names": [str(number) for number in range(256)]}, "256 class names"),
        ({"names": ["Car", "car"]}, "'Car' is there twice"),
        ({"names": ["a", " "]}, "' ' cannot be used"),
        ({"names": ["a", "b\n"]}, "printable"),
        ({"names": ["a", 3]}, "3 cannot be used"),
        ({"names": ["a", "b"], "palette": [[1, 2, 3]]}, "1 colours for 2 classes"),
        ({"names": ["a", "b"], "palette": [[1, 2, 3], [1, 2, 256]]}, "each from 0 to 255"),
        ({"names": ["a", "b"], "palette": [[1, 2, 3], "red"]}, "'red' of a class"),
        ({"names": ["a", "b"], "void": 2}, "an index from 0 to 1"),
        ({"names": ["a", "b"], "void": True}, "True"),
        ({"names": ["a", "b"], "ignored": [1]}, "from 2 to 255"),
        ({"names": ["a", "b"], "ignored": 255}, "expected a list"),
    ],
)
def test_what_makes_no_table_is_refused_in_a_line(values: object, line: str) -> None:
    with pytest.raises(UsageError, match=line) as error:
        Classes.from_dict(values)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="choose among Green apple, pear"):
        FRUIT.index("plum")
