"""Label Studio's JSON export: brushes, as run lengths of its own, and polygons."""

import re
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from icnet.base.errors import DataError, InputError
from icnet.data.formats.documents import first_key, head, read_json
from icnet.data.formats.shapes import Canvas, polygon
from icnet.data.formats.source import Fault, Item, Labels, Source, Table, distinct
from icnet.data.formats.tree import Tree, is_picture

_BRUSH, _POLYGON = "brushlabels", "polygonlabels"

_OTHERS = ("rectanglelabels", "ellipselabels", "keypointlabels", "vectorlabels")

_PREFIX = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the name of a file that was uploaded."""


def _documents(tree: Tree) -> list[str]:
    return [
        name
        for name in tree.matching(r".*\.json")
        if first_key(tree.path(name))[0] == "[" and re.search(r'"(annotations|completions|predictions)"', head(tree.path(name)))
    ]


def looks_like_label_studio(tree: Tree) -> bool:
    """Whether a JSON file begins as such an export does."""
    return bool(_documents(tree))


def open_label_studio(tree: Tree, table: Table | None) -> Source:
    """The newest annotation of each task; predictions, which nobody has looked at, are no labels.

    Raises:
        DataError: a document is none of Label Studio, or has no brush or polygon.
    """
    tasks = []
    for name in _documents(tree):
        try:
            tasks += [(_picture(task), _results(task)) for task in read_json(tree.path(name))]
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(f"{tree.path(name)} is no export of Label Studio: {error}; export it as JSON") from error
    names = sorted({label for _, results in tasks for result in results or () for label in _labels(result)[:1]})
    if not names:
        raise DataError(f"no brush or polygon in {', '.join(_documents(tree)[:3])}: export it as JSON, after labelling")
    positions = {name: position for position, name in enumerate(names)}
    items, faults = [], []
    for file_name, results in tasks:
        image = tree.find(file_name) or tree.find(_PREFIX.sub("", PurePosixPath(file_name).name))
        if image is None:
            faults.append(Fault("picture-not-there", file_name, "is named by the annotations and does not exist"))
            continue
        read = None if results is None else partial(_draw, results, positions)
        items.append(Item(tree.name_of(image), image, read))
    kept, twice = distinct(items)
    return Source("label-studio", Table(tuple(names)), kept, tuple(faults + twice))


def _picture(task: dict[str, Any]) -> str:
    """The file that a task is about: the value of `image`, or else whatever ends as a picture does."""
    data = task["data"]
    values = [data[key] for key in sorted(data, key=lambda key: key != "image") if isinstance(data[key], str)]
    for value in values:
        parts = urlsplit(value)
        path = unquote(parts.query.partition("d=")[2] if "local-files" in parts.path else parts.path)
        if is_picture(path):
            return path.lstrip("/")
    raise ValueError(f"task {task.get('id')} names no picture")


def _results(task: dict[str, Any]) -> list[dict[str, Any]] | None:
    """What the newest annotation holds that was not given up; None if nobody has labelled it."""
    made = [each for each in task.get("annotations") or task.get("completions") or () if not each.get("was_cancelled")]
    if not made:
        return None
    newest = max(made, key=lambda each: (bool(each.get("ground_truth")), str(each.get("updated_at") or each.get("created_at"))))
    return [each for each in newest["result"] if isinstance(each.get("value"), dict)]


def _labels(result: dict[str, Any]) -> list[str]:
    kind = str(result.get("type", "")).lower()
    labels = result["value"].get(kind) if kind in (_BRUSH, _POLYGON) else None
    return [str(label) for label in labels] if isinstance(labels, list) else []


def _draw(results: list[dict[str, Any]], positions: dict[str, int], size_hw: tuple[int, int]) -> Labels:
    """Later objects over earlier ones, as its page shows them."""
    told = [(each.get("original_height"), each.get("original_width")) for each in results]
    sizes = {(height, width) for height, width in told if type(height) is int and type(width) is int}
    canvas = Canvas(sizes.pop() if len(sizes) == 1 else size_hw)
    for each in results:
        try:
            if labels := _labels(each):
                canvas.paint(positions[labels[0]], _mask(each, canvas.size_hw))
            elif str(each.get("type", "")).lower() in _OTHERS:
                raise InputError("an object is a box, an ellipse or a point and has no outline")
        except (InputError, KeyError, TypeError, ValueError, OverflowError) as error:
            canvas.miss(str(error) if isinstance(error, InputError) else "an object is no brush or polygon of Label Studio")
    return canvas.labels()


def _mask(result: dict[str, Any], size_hw: tuple[int, int]) -> np.ndarray:
    value, (height, width) = result["value"], size_hw
    if result.get("image_rotation"):
        raise InputError("it was labelled on the turned picture: turn the file itself, and label it again")
    if "rle" in value:
        if not isinstance(value["rle"], list):  # of a number, bytes() makes as many zeros
            raise InputError("a brush is no list of numbers")
        return brush(bytes(value["rle"]), size_hw)
    return polygon(
        [[part * side / 100 for point in value["points"] for part, side in zip(point, (width, height), strict=True)]], size_hw
    )


def brush(data: bytes, size_hw: tuple[int, int]) -> np.ndarray:
    """The pixels of a brush: run lengths of red, green, blue and alpha in bits, as thi.ng's rle-pack writes them.

    A head tells how many values follow (32 bits), how many bits a value has, less one (5), and the same of four kinds of count
    (4 each). Then, until all values are there: 1 and a value that is repeated, or 0 and as many values; the count comes before
    these, as two bits for its kind and the count less one.

    Args:
        data: of Label Studio's export (`rle`).
        size_hw: of the picture.

    Returns:
        (H, W) bool, where alpha is not zero.

    Raises:
        InputError: the data are damaged, or of another size.
    """
    height, width = size_hw
    bits = _Bits(data)
    count, value_bits = bits.take(32), bits.take(5) + 1
    if count != 4 * height * width or value_bits > 32:
        raise InputError(f"a brush is not of {width}x{height} pixels, or damaged")
    sizes = [bits.take(4) + 1 for _ in range(4)]
    values = np.zeros(count, bool)
    at = 0
    while at < count:
        repeated = bits.take(1)
        end = at + 1 + bits.take(sizes[bits.take(2)])
        if end > count:
            raise InputError("a brush is damaged")
        if repeated:
            values[at:end] = bits.take(value_bits) > 0
        else:
            values[at:end] = [bits.take(value_bits) > 0 for _ in range(at, end)]
        at = end
    return values.reshape(height, width, 4)[:, :, 3]


class _Bits:
    """Numbers of any width up to 32 bits, the highest bit first."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._end = data + bytes(8), 0, 8 * len(data)

    def take(self, count: int) -> int:
        start, first = divmod(self._at, 8)
        self._at += count
        if self._at > self._end:
            raise InputError("a brush is cut off")
        return int.from_bytes(self._data[start : start + 8], "big") >> (64 - first - count) & ((1 << count) - 1)
