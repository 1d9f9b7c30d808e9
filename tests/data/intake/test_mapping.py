import numpy as np
import pytest

from icnet.base.errors import DataError, UsageError
from icnet.data.formats.source import Table
from icnet.data.formats.tables import Wanted, classes_text, find_table, read_wanted
from icnet.data.intake.mapping import map_classes

SOURCE = Table(("road", "car", "truck", "background"), ((1, 2, 3), (4, 5, 6), None, (0, 0, 0)), frozenset({"background"}))


def wanted(tmp_path, text: str) -> Wanted:
    (tmp_path / "wanted.yaml").write_text(text, encoding="utf-8")
    return read_wanted(tmp_path / "wanted.yaml")


def test_classes_are_renamed_merged_ordered_and_left_out(tmp_path):
    text = "classes: [{name: vehicle, from: [Car, truck]}, {name: other, from: [], colour: '#102030'}, road]\nunlabelled: other"
    mapping = map_classes(SOURCE, wanted(tmp_path, text))
    assert mapping.classes.names == ("vehicle", "other", "road")
    assert mapping.classes.palette == ((4, 5, 6), (16, 32, 48), (1, 2, 3))
    assert mapping.positions[[0, 1, 2, 3, 255]].tolist() == [2, 0, 0, 255, 1]
    assert mapping.left_out == ("background",)


def test_without_a_wish_the_source_decides():
    mapping = map_classes(SOURCE, None)
    assert mapping.classes.names == ("road", "car", "truck")
    assert mapping.positions[[0, 1, 2, 3, 255]].tolist() == [0, 1, 2, 255, 255]
    assert map_classes(Table(("a", "void"), void="void"), None).classes.void == 1


def test_numbers_that_nothing_names(tmp_path):
    mapping = map_classes(None, wanted(tmp_path, "[{name: a, from: [7, 9]}, {name: b, from: 0}]"))
    assert np.flatnonzero(mapping.positions != 255).tolist() == [0, 7, 9]
    with pytest.raises(UsageError, match=r"nothing names them: write a classes.yaml such as .* --classes"):
        map_classes(None, None)
    with pytest.raises(UsageError, match=r"write its number, as in `from: \[0\]`"):
        map_classes(None, wanted(tmp_path, "[{name: a, from: x}, b]"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rode, car]", r"from 'rode', which the source does not have; it has road, car, truck, background"),
        ("[{name: a, from: car}, car]", "the classes a and car are both from 'car'"),
        ("[{name: a, from: 4}, car]", "the class a is from 4: expected 0 to 3"),
    ],
)
def test_a_wish_that_cannot_be_met(text, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        map_classes(SOURCE, wanted(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        *("", "classes: 3", "[a]", "[a, A]", "[a, {name: b, color: red}]", "[a, {name: b, colour: red}]", "[a, {name: 3}]"),
        *("{classes: [a, b], void: c}", "{classes: [a, b], extra: 1}", "[a, b", "[a, {name: b, from: [1.5]}]", "\0"),
        "a: &x [1]\nclasses: [*x, *x]",
        "{classes: [a, b], ignored: [1]}",
    ],
)
def test_what_is_no_table_is_one_line(text, tmp_path):
    with pytest.raises(DataError, match=r"wanted\.yaml") as caught:
        wanted(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_tables_that_lie_beside_masks(tmp_path):
    classes = map_classes(Table(("a: 'b'", "Straße #1", "void"), void="void"), None).classes
    (tmp_path / "classes.yaml").write_text(classes_text(classes), encoding="utf-8")
    assert read_wanted(tmp_path / "classes.yaml").classes() == classes
    (tmp_path / "classes.yaml").unlink()
    expected = Table(("Sky", "Road sign"), ((128, 128, 128), (1, 2, 3)))
    for name, text in (
        ("labelmap.txt", "# label:color_rgb:parts:actions\nSky:128,128,128::\nRoad sign:1,2,3:x,y:"),
        ("class_dict.csv", "name,r,g,b\nSky,128,128,128\nRoad sign,1,2,3\n"),
        ("label_colors.txt", "128 128 128\tSky\n1 2 3\tRoad sign\n"),
    ):
        (tmp_path / name).write_text(text)
        assert find_table(tmp_path) == expected
        (tmp_path / name).write_text(text.replace("128", "512"))
        with pytest.raises(DataError, match="has no colour"):
            find_table(tmp_path)
        (tmp_path / name).unlink()
    (tmp_path / "labelmap.txt").write_text("background:::\nroad:::\nsky:::")  # as Datumaro writes it
    assert find_table(tmp_path) == Table(
        ("background", "road", "sky"), ((0, 0, 0), (128, 0, 0), (0, 128, 0)), frozenset({"background"})
    )
    (tmp_path / "labelmap.txt").unlink()
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\nroad\n")
    assert find_table(tmp_path) == Table(
        ("__ignore__", "_background_", "road"), left_out=frozenset({"__ignore__", "_background_"})
    )
