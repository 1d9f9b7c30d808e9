"""The classes that an OpenVINO IR tells, also a foreign one."""

import dataclasses
import json
from pathlib import Path

import pytest
from tiny_network import SMALL

from icnet.base.classes import CAMVID, Classes
from icnet.base.errors import ModelError
from icnet.network.openvino_model import openvino_model
from icnet.network.weights import random_weights
from icnet.runtime.ir import CLASSES, LABELS, read_classes

FIVE = Classes(("a", "b c", "d", "e", "f"), void=1)


def ir(count: int, output="logits", **told: str):
    """A network of so many classes with facts of its own."""
    spec = dataclasses.replace(SMALL, classes=Classes(tuple(f"n{index}" for index in range(count))))
    network = openvino_model(random_weights(spec), output=output)
    for key, value in told.items():
        network.set_rt_info(value, {"labels": LABELS, "table": CLASSES}[key])
    return network


@pytest.mark.parametrize(
    ("count", "told", "expected"),
    [
        (5, {"table": json.dumps(FIVE.to_dict()), "labels": "a b_c d e f"}, FIVE),
        (5, {"labels": "a b_c d e f"}, Classes(("a", "b_c", "d", "e", "f"))),
        (5, {"labels": "a a d e f"}, Classes(tuple(f"class {index}" for index in range(5)))),
        (5, {"labels": "a b"}, Classes(tuple(f"class {index}" for index in range(5)))),
        (5, {}, Classes(tuple(f"class {index}" for index in range(5)))),
        (12, {"labels": " ".join(CAMVID.names)}, CAMVID),
        (12, {}, CAMVID),
    ],
)
def test_what_is_told_and_what_is_not(count, told, expected):
    for output in ("logits", "soft"):
        assert read_classes(ir(count, output, **told), Path("x.xml")) == expected


def test_an_index_map_does_not_tell_how_many_there_are():
    assert read_classes(ir(5, "index", labels="a b"), Path("x.xml")).names == ("a", "b")
    assert read_classes(ir(5, "index"), Path("x.xml")) == CAMVID


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("{", "damaged"),
        ('{"names": ["a"]}', "1 class names"),
        (json.dumps(FIVE.to_dict()), "4 outputs for 5 classes"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(table, line):
    with pytest.raises(ModelError, match=line):
        read_classes(ir(4, table=table), Path("x.xml"))
