import json

import numpy as np
import pytest

from icnet.base.classes import CAMVID, Classes
from icnet.base.errors import UsageError
from icnet.results.style import Style, class_indices, read_style, recoloured
from icnet.runtime.segmenter import Segmentation

CLASSES = np.random.default_rng(0).integers(0, 12, (40, 60), dtype=np.uint8)
FRAME = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
SEGMENTATION = Segmentation(FRAME, CLASSES, CAMVID)


def test_without_wishes_everything_is_shown_as_it_is():
    style = read_style(CAMVID)
    assert np.array_equal(style.classes(SEGMENTATION), CLASSES)
    assert np.array_equal(style.colours(SEGMENTATION), CAMVID.palette_rgb[CLASSES][:, :, ::-1])
    assert np.array_equal(style.overlay(SEGMENTATION), SEGMENTATION.overlay())
    assert style.outlined == tuple(range(11)), "Unlabeled is no region"


def test_only_some_classes():
    style = read_style(CAMVID, "road, Pavement")
    assert style.only == style.outlined == (3, 4)
    shown = np.isin(CLASSES, (3, 4))
    assert np.array_equal(style.classes(SEGMENTATION), np.where(shown, CLASSES, CAMVID.void))
    overlay = style.overlay(SEGMENTATION, legend=False)
    assert np.array_equal(overlay[~shown], FRAME[~shown])
    assert np.array_equal(overlay[shown], SEGMENTATION.overlay(legend=False)[shown])
    assert read_style(CAMVID, "Unlabeled").outlined == (CAMVID.void,), "asked for by name"


def test_a_palette_changes_the_colours_it_names(tmp_path):
    (tmp_path / "p.json").write_text('\ufeff{"Road": [1, 2, 3], "sky": "#0a0B0c"}', encoding="utf-8")
    table = recoloured(CAMVID, tmp_path / "p.json")
    palette = table.palette_rgb
    assert palette[CAMVID.names.index("Road")].tolist() == [1, 2, 3]
    assert palette[CAMVID.names.index("Sky")].tolist() == [10, 11, 12]
    assert np.array_equal(np.delete(palette, [0, 3], axis=0), np.delete(CAMVID.palette_rgb, [0, 3], axis=0))
    style = Style(table)
    assert np.array_equal(style.colours(SEGMENTATION), palette[CLASSES][:, :, ::-1])
    assert not np.array_equal(style.overlay(SEGMENTATION), SEGMENTATION.overlay())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no JSON object"),
        ("{}", "is no JSON object"),
        ('{"Rode": [1, 2, 3]}', "there is no class Rode"),
        ('{"Road": [1, 2]}', r"the colour of Road in .* is \[1, 2\]"),
        ('{"Road": [1, 2, 256]}', "the colour of Road"),
        ('{"Road": [1, 2, true]}', "the colour of Road"),
        ('{"Road": "red"}', "the colour of Road"),
        (json.dumps({"Road": "x" * 1000}), "the colour of Road"),
    ],
)
def test_bad_palettes_are_one_line(tmp_path, text, said):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        recoloured(CAMVID, tmp_path / "p.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    with pytest.raises(UsageError, match="cannot read the palette"):
        recoloured(CAMVID, tmp_path / "none.json")


def test_class_names():
    assert class_indices(CAMVID, "Sky") == (0,)
    assert class_indices(CAMVID, "bike,SKY,bike") == (0, 10)
    assert class_indices(CAMVID, ",".join(CAMVID.names)) == tuple(range(12))
    commas = Classes(("door", "door, double", "wall"))
    assert class_indices(commas, "Door, double,wall") == (1, 2)
    assert class_indices(commas, "wall,door") == (0, 2)
    for names in ("", ",", "Street"):
        with pytest.raises(UsageError):
            class_indices(CAMVID, names)
