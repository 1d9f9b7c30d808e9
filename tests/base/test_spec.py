import json

import pytest

from icnet.base.errors import ModelError, UsageError
from icnet.base.spec import COMPACT_60, DEFAULT_MODEL, PRESETS, IcnetSpec, check_size, preset


@pytest.mark.parametrize("spec", PRESETS.values(), ids=PRESETS)
def test_round_trip_through_json(spec):
    assert IcnetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


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


def test_a_mean_may_be_zero_and_whole():
    assert IcnetSpec.from_dict({**IcnetSpec().to_dict(), "mean_bgr": [0, 0, 0]}).mean_bgr == (0, 0, 0)


def test_presets_by_name():
    assert preset(DEFAULT_MODEL.removesuffix("-int8")) is COMPACT_60
    assert set(PRESETS) == {"icnet-camvid-ava-0001", "icnet-camvid-ava-sparse-60-0001", "icnet-camvid-ava-compact-60-0001"}
    with pytest.raises(ModelError, match="icnet-camvid-ava-0001"):
        preset("icnet")


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
