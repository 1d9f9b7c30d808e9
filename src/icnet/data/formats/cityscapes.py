"""Cityscapes: `gtFine` beside `leftImg8bit`, as numbers or as polygons."""

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from icnet.base.classes import Colour
from icnet.base.errors import InputError
from icnet.data.formats.documents import read_json
from icnet.data.formats.masks import read_mask
from icnet.data.formats.shapes import blank
from icnet.data.formats.source import Fault, Item, Labels, Source, Table, distinct
from icnet.data.formats.tree import Tree, split_of

_LABELS: tuple[tuple[str, Colour, bool], ...] = (
    ("unlabeled", (0, 0, 0), False),
    ("ego vehicle", (0, 0, 0), False),
    ("rectification border", (0, 0, 0), False),
    ("out of roi", (0, 0, 0), False),
    ("static", (0, 0, 0), False),
    ("dynamic", (111, 74, 0), False),
    ("ground", (81, 0, 81), False),
    ("road", (128, 64, 128), True),
    ("sidewalk", (244, 35, 232), True),
    ("parking", (250, 170, 160), False),
    ("rail track", (230, 150, 140), False),
    ("building", (70, 70, 70), True),
    ("wall", (102, 102, 156), True),
    ("fence", (190, 153, 153), True),
    ("guard rail", (180, 165, 180), False),
    ("bridge", (150, 100, 100), False),
    ("tunnel", (150, 120, 90), False),
    ("pole", (153, 153, 153), True),
    ("polegroup", (153, 153, 153), False),
    ("traffic light", (250, 170, 30), True),
    ("traffic sign", (220, 220, 0), True),
    ("vegetation", (107, 142, 35), True),
    ("terrain", (152, 251, 152), True),
    ("sky", (70, 130, 180), True),
    ("person", (220, 20, 60), True),
    ("rider", (255, 0, 0), True),
    ("car", (0, 0, 142), True),
    ("truck", (0, 0, 70), True),
    ("bus", (0, 60, 100), True),
    ("caravan", (0, 0, 90), False),
    ("trailer", (0, 0, 110), False),
    ("train", (0, 80, 100), True),
    ("motorcycle", (0, 0, 230), True),
    ("bicycle", (119, 11, 32), True),
)
"""Name, colour, and whether the benchmark scores it, by number: `labels.py` of cityscapesScripts. License plates have -1."""

_TABLE = Table(
    names=tuple(name for name, _, _ in _LABELS),
    colours=tuple(colour for _, colour, _ in _LABELS),
    left_out=frozenset(name for name, _, scored in _LABELS if not scored),
)

_FILE = re.compile(r"(?P<stem>.*)_(?P<kind>gtFine|gtCoarse)_(?P<form>labelIds\.png|polygons\.json)")


def looks_like_cityscapes(tree: Tree) -> bool:
    """Whether there are files of its names."""
    return any(_FILE.fullmatch(name) for name in tree.files)


def open_cityscapes(tree: Tree, table: Table | None) -> Source:
    """The nineteen classes that its benchmark scores, unless others are asked for; of the forms of a label the numbers first."""
    found: dict[str, dict[str, str]] = {}
    for name in tree.files:
        if match := _FILE.fullmatch(name):
            found.setdefault(match["stem"], {})[f"{match['kind']} {match['form']}"] = name
    items, faults = [], []
    for stem, forms in sorted(found.items()):
        path = PurePosixPath(stem)
        split = next((split for part in reversed(path.parts[:-1]) if (split := split_of(part))), None)
        image = tree.find(f"{path.name}_leftImg8bit.png") or tree.find(f"{path.name}_leftImg8bit.jpg")
        chosen = min(forms, key=lambda form: ("gtFine" not in form, "labelIds" not in form))
        if image is None:
            faults.append(
                Fault("picture-not-there", f"{path.name}_leftImg8bit.png", f"belongs to {forms[chosen]} and does not exist")
            )
            continue
        name = "/".join(part for part in path.parts if not part.startswith("gt"))
        items.append(Item(name, image, _reader(tree.path(forms[chosen])), split))
    kept, twice = distinct(items)
    return Source("cityscapes", _TABLE, kept, tuple(faults + twice))


def _reader(path: Path) -> Callable[[tuple[int, int]], Labels]:
    return lambda size_hw: read_mask(path, _TABLE) if path.suffix == ".png" else _draw(path)


def _draw(path: Path) -> Labels:
    """Objects in their order, later ones over earlier ones, as `json2labelImg.py` of cityscapesScripts draws them."""
    try:
        document = read_json(path)
        size_hw = int(document["imgHeight"]), int(document["imgWidth"])
        image = Image.fromarray(np.zeros_like(blank(size_hw)))  # 0 is "unlabeled"
        draw = ImageDraw.Draw(image)
        unknown = [name for each in document["objects"] if (name := _object(draw, each))]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"cannot read {path}: {type(error).__name__} {error}: it is no document of Cityscapes") from error
    return Labels(np.array(image), (("broken-shape", f"has objects of the unknown class {unknown[0]}"),) if unknown else ())


def _object(draw: ImageDraw.ImageDraw, each: dict[str, Any]) -> str | None:
    """Draw an object; gives the name of a class that there is not."""
    name = str(each["label"])
    if each.get("deleted") or name == "license plate":
        return None
    if name not in _TABLE.names:
        name = name.removesuffix("group")
    if name not in _TABLE.names:
        return name
    points = [(float(x), float(y)) for x, y in each["polygon"]]
    if any(abs(part) > 1e6 for point in points for part in point):
        raise ValueError("a point far outside of the picture")
    draw.polygon(points, fill=_TABLE.names.index(name))
    return None
