import dataclasses
import json

import pytest

from icnet.base.classes import Classes
from icnet.base.errors import ModelError, UsageError
from icnet.network.spec import COMPACT_60, DEFAULT_MODEL, LITE, PRESETS, IcnetSpec, check_size, preset, spec_from_dict


@pytest.mark.parametrize("spec", PRESETS.values(), ids=PRESETS)
def test_round_trip_through_json(spec):
    assert spec_from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_classes_travel_and_those_of_camvid_are_a_number():
    table = Classes(("a b", "c", "d"), palette=((1, 2, 3),) * 3, void=0, ignored=(200, 255))
    spec = dataclasses.replace(COMPACT_60, classes=table)
    assert spec_from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert COMPACT_60.to_dict()["classes"] == 12
    assert spec_from_dict(COMPACT_60.to_dict() | {"classes": 3}).classes.names == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize(
    "value", [1, 256, 10**12, -3, True, "12", None, [12], {}, {"names": ["a", "a"]}, {"names": ["a", "b"], "void": 9}]
)
def test_classes_that_are_none_are_refused(value):
    with pytest.raises(ModelError, match="the network description is damaged: ") as caught:
        spec_from_dict(COMPACT_60.to_dict() | {"classes": value})
    assert "\n" not in str(caught.value)


def test_unknown_and_missing_fields_are_refused():
    values = IcnetSpec().to_dict()
    del values["fusion"]
    with pytest.raises(ModelError, match="fusion, surplus"):
        IcnetSpec.from_dict({**values, "surplus": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fusion", "128"),
        ("fusion", 0),
        ("fusion", 12.5),
        ("fusion", True),
        ("fusion", None),
        ("blocks", [3, 4, 6]),
        ("blocks", [3, 4, 6, -3]),
        ("blocks", [3, 4, 6, 10**400]),
        ("stem", 64),
        ("stem", [64, 64, [128]]),
        ("size_hw", {"height": 720}),
        ("std_bgr", [57.38, 0, 58.4]),
        ("mean_bgr", [103.94, float("nan"), 123.68]),
        ("name", 7),
        ("name", ""),
    ],
)
def test_values_of_another_kind_are_refused(name, value):
    with pytest.raises(ModelError, match=f"its {name} is .*, expected something like") as caught:
        IcnetSpec.from_dict({**IcnetSpec().to_dict(), name: value})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trunk", [[0, 3, 1, 16], [96, 3, 3, 24]]),
        ("trunk", [list(block) for block in LITE.trunk if block[2] == 1]),
        ("trunk", [[*block[:2], 0, block[3]] for block in LITE.trunk]),
        ("trunk", [[*block[:2], -block[2], block[3]] for block in LITE.trunk]),
        ("trunk", [[block[0], 4, *block[2:]] for block in LITE.trunk]),
        ("trunk", [[-block[0], *block[1:]] for block in LITE.trunk]),
        ("trunk", [[*block[:3], 0] for block in LITE.trunk]),
        ("trunk", [[*block, 0] for block in LITE.trunk]),
        ("trunk", [*LITE.trunk, *[[0, 3, 2, 16]]]),
        ("trunk", [list(LITE.trunk[0])] * 300),
        ("trunk", []),
        ("trunk", 3),
        ("fusion", [64, 64, 64, 0, 0]),
        ("fusion", [64, 64, 64, 64, -1]),
        ("scale", 1e-9),
        ("scale", 60000.0),
        ("scale", 0),
        ("separable", 1),
        ("family", ["lite"]),
        ("family", {}),
        ("family", "lite-2"),
    ],
)
def test_damaged_lite_networks_are_refused(name, value):
    with pytest.raises(ModelError, match=f"{name}") as caught:
        spec_from_dict({**LITE.to_dict(), name: value})
    assert len(str(caught.value)) < 300


def test_a_mean_may_be_zero_and_whole():
    assert IcnetSpec.from_dict({**IcnetSpec().to_dict(), "mean_bgr": [0, 0, 0]}).mean_bgr == (0, 0, 0)


def test_presets_by_name():
    assert preset(DEFAULT_MODEL.removesuffix("-int8")) is LITE
    cards = {f"icnet-camvid-ava-{kind}0001" for kind in ("", "sparse-60-", "compact-60-")}
    assert set(PRESETS) == {"icnet-lite", "icnet-lite-large", *cards}
    with pytest.raises(ModelError, match="icnet-camvid-ava-0001"):
        preset("icnet-0")


def test_a_description_of_a_size_that_does_not_fit_is_damaged():
    with pytest.raises(ModelError, match="description is damaged: input size 96x156"):
        spec_from_dict({**LITE.to_dict(), "size_hw": [96, 156]})


@pytest.mark.parametrize(
    ("name", "value"),
    [("size_hw", [8192, 8192]), ("name", "a\r\nX-Other: 1"), ("name", "a\x1b[31m"), ("name", " "), ("name", "a" * 1000)],
)
def test_what_would_fill_the_memory_or_break_a_header_is_no_description(name, value):
    with pytest.raises(ModelError, match="description is damaged") as caught:
        spec_from_dict({**LITE.to_dict(), name: value})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("size_hw", [(720, 960), (32, 32), (80, 112), (368, 480)])
def test_sizes_that_fit(size_hw):
    check_size(size_hw)


@pytest.mark.parametrize(
    ("size_hw", "near"),
    [((721, 960), "720x960 or 736x960"), ((360, 480), "352x480 or 368x480"), ((16, 960), "32x960"), ((0, -5), "32x32")],
)
def test_other_sizes_are_refused_with_the_nearest(size_hw, near):
    with pytest.raises(UsageError, match=near):
        check_size(size_hw)
    for text in near.split(" or "):
        check_size(tuple(int(side) for side in text.split("x")))


def test_older_files_lack_the_order_of_fusion():
    values = IcnetSpec().to_dict()
    del values["convolve_low"]
    assert IcnetSpec.from_dict(values).convolve_low is False
    assert IcnetSpec.from_dict(COMPACT_60.to_dict()).convolve_low is True
    for wrong in (1, 0, "yes", None):
        with pytest.raises(ModelError, match="its convolve_low is"):
            IcnetSpec.from_dict({**values, "convolve_low": wrong})
