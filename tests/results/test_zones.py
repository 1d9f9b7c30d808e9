import json
from pathlib import Path

import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.base.errors import UsageError
from icnet.results import zones as zones_module
from icnet.results.polygons import fill
from icnet.results.zones import Zones, read_zones

SQUARE = [[2, 1], [6, 1], [6, 5], [2, 5]]


def written(folder: Path, content: object) -> Path:
    path = folder / "zones.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def halves(size_hw: tuple[int, int] = (10, 20)) -> np.ndarray:
    """Road (3) on the left, sky (0) on the right."""
    classes = np.zeros(size_hw, np.uint8)
    classes[:, : size_hw[1] // 2] = 3
    return classes


def test_pixels(tmp_path):
    zones = read_zones(written(tmp_path, {"left": SQUARE, "Mitte über": [[8, 0], [12, 0], [12, 4], [8, 4]]}))
    assert zones.names == ("left", "Mitte über")
    shares = zones.shares(halves(), CAMVID)
    assert list(shares) == ["left", "Mitte über"]
    assert shares["left"] == {name: float(name == "Road") for name in CAMVID.names}
    assert shares["Mitte über"] == {name: 0.5 if name in ("Road", "Sky") else 0.0 for name in CAMVID.names}


def test_fractions_if_every_coordinate_is_one(tmp_path):
    parts = {"lower": [[0, 0.5], [1, 0.5], [1, 1], [0, 1]], "right": [[0.75, 0], [1, 0], [1, 1], [0.75, 1]]}
    zones = read_zones(written(tmp_path, parts))
    for size_hw in ((10, 20), (40, 8)):
        shares = zones.shares(halves(size_hw), CAMVID)
        assert shares["lower"]["Road"] == shares["lower"]["Sky"] == 0.5
        assert shares["right"]["Sky"] == 1
    mixed = read_zones(written(tmp_path, {**parts, "pixels": SQUARE}))
    assert mixed.shares(halves(), CAMVID)["right"] is None  # a quarter of a pixel, beside its middle


def test_any_polygon_of_any_place_is_counted_exactly():
    rng = np.random.default_rng(5)
    classes = rng.integers(0, 12, (31, 47), dtype=np.uint8)
    polygons = {str(number): rng.uniform(-30, 70, (number + 3, 2)) for number in range(12)}
    for name, found in Zones(polygons).shares(classes, CAMVID).items():
        inside = classes[fill([polygons[name]], classes.shape)]
        assert found == {label: (inside == index).sum() / inside.size for index, label in enumerate(CAMVID.names)}, name


def test_a_zone_without_pixels_has_no_shares(tmp_path):
    away = {"beside": [[30, 0], [40, 0], [40, 9]], "above": [[0, -9], [9, -9], [9, -1]], "line": [[1, 1], [9, 1], [5, 1]]}
    assert read_zones(written(tmp_path, {**away, "left": SQUARE})).shares(halves(), CAMVID) == {
        **dict.fromkeys(away),
        "left": {name: float(name == "Road") for name in CAMVID.names},
    }
    assert read_zones(written(tmp_path, away)).shares(halves((60, 60)), CAMVID)["beside"] is not None


def test_masks_are_made_once_for_a_size(monkeypatch):
    calls = []
    monkeypatch.setattr(zones_module, "fill", lambda *given: calls.append(given) or fill(*given))
    zones = Zones({"left": np.array(SQUARE)})
    for size_hw in ((10, 20), (10, 20), (12, 20), (12, 20)):
        zones.shares(halves(size_hw), CAMVID)
    assert len(calls) == 2


def test_a_mark_of_the_encoding_is_no_content(tmp_path):
    assert read_zones(written(tmp_path, "\ufeff" + json.dumps({"left": SQUARE}))).names == ("left",)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", "is not JSON"),
        ("{'a': 1}", "is not JSON"),
        ("[" * 100_000, r"is not JSON \(nested too deeply\)"),
        ('{"a":' * 100_000, r"is not JSON \(nested too deeply\)"),
        ("9" * 5000, "is not JSON"),
        (" " * 1_000_001, "larger than 1 MB"),
        ([SQUARE], "holds no zones"),
        ("null", "holds no zones"),
        ({}, "holds no zones"),
        ('{"a": [[0, 0], [1, 0], [1, 1]], "a": [[0, 0], [1, 0], [1, 1]]}', "two zones of the same name"),
        ({"": SQUARE}, "the zone name '' cannot be used"),
        ({" ": SQUARE}, "the zone name ' ' cannot be used"),
        ({"a\nb": SQUARE}, r"the zone name 'a\\nb' cannot be used"),
        ('{"\\ud800": [[0, 0], [1, 0], [1, 1]]}', r"the zone name '\\ud800' cannot be used"),
        ({"n" * 101: SQUARE}, f"the zone name '{'n' * 100}' cannot be used"),
        ({"left": SQUARE, "b": SQUARE[:2]}, "zone 'b' is no polygon: expected at least three points"),
        ({"b": {"x": 1}}, "zone 'b' is no polygon"),
        ({"b": None}, "zone 'b' is no polygon"),
        ({"b": "abc"}, "zone 'b' is no polygon"),
        ({"b": [SQUARE]}, "zone 'b' is no polygon"),
        ({"b": [SQUARE, SQUARE, SQUARE]}, "point 1 of zone 'b'"),
        ({"b": [*SQUARE, [1]]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, [1, 2, 3]]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, 7]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, "12"]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, ["1", "2"]]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, [True, 1]]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, [1, None]]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, [1, float("nan")]]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, [float("-inf"), 1]]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, [1, 10**400]]}, "point 5 of zone 'b'"),
        ({"b": [*SQUARE, [-1e7, 1]]}, "point 5 of zone 'b'"),
    ],
)
def test_what_is_no_zone_is_one_line(tmp_path, content, line):
    path = written(tmp_path, content)
    with pytest.raises(UsageError, match=line) as caught:
        read_zones(path)
    text = str(caught.value)
    assert str(path) in text
    assert "expected" in text or "each its own" in text
    assert "\n" not in text
    assert len(text) < len(str(path)) + 250


def test_what_cannot_be_read_is_one_line(tmp_path):
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(UsageError, match=f"cannot read the zones in {path}: .*; name a file that can be read"):
            read_zones(path)
    (tmp_path / "binary.json").write_bytes(b'{"\xff\xfe": 1}')
    with pytest.raises(UsageError, match="is not JSON"):
        read_zones(tmp_path / "binary.json")
