"""Class maps as outlines and run lengths in documents that other tools read: GeoJSON and COCO.

The documents grow frame by frame, so that a long video takes no more memory than a short one, and appear when they are complete.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TextIO

import cv2
import numpy as np

from icnet.base.classes import Classes
from icnet.base.errors import UsageError
from icnet.base.files import replacing
from icnet.results.polygons import Region, regions

CocoForm = Literal["polygons", "rle"]
"""How COCO holds a region: as an outline, or all regions of a class as the run lengths of their pixels."""

_NO_CLASS = 255

_ITEM = re.compile(r'\{"id":(\d+),')
"""Begins the line of an annotation or image in a COCO document."""

_PARTS = 3
"""Lines of a COCO document that are no items: one before, one between and one behind annotations and images."""

_AXES = "pixels from the top left corner of the picture: x to the right, y down"


@dataclass(frozen=True)
class FrameInfo:
    """Which frame a class map belongs to."""

    file_name: str
    """Of the picture, or of this frame of the video."""
    index: int
    """Its number in the video, or that of the picture among others, from 0."""
    time_s: float | None
    """When it is shown in the video; None for a picture."""


@dataclass
class CocoIds:
    """The last ones that were given, so that several documents have none in common."""

    image: int = 0
    annotation: int = 0


class _Document(AbstractContextManager["_Document"]):
    """A JSON object whose list of items is written as they come. Use it in a `with` statement.

    After an exception nothing is left of a file, and one that was there before stays as it was.
    """

    def __init__(self, target: Path | TextIO, beginning: str) -> None:
        self._beginning, self._items = beginning, 0
        self._file: TextIO
        self._writing = self._open(target)

    @contextmanager
    def _open(self, target: Path | TextIO) -> Iterator[None]:
        with _file(target) if isinstance(target, Path) else nullcontext(target) as self._file:
            self._file.write(self._beginning)
            yield
            self._file.write(f"\n{self._end()}\n")

    def __enter__(self) -> Self:
        """Begin the document; a file has a temporary name for now."""
        self._writing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Complete the document and give a file its name, or remove it."""
        return self._writing.__exit__(kind, error, traceback)

    def _append(self, item: str) -> None:
        """Write an item, as JSON, on a line of its own."""
        self._file.write((",\n" if self._items else "\n") + item)
        self._items += 1

    def _end(self) -> str:
        """What follows the last item."""
        raise NotImplementedError


class GeoJsonWriter(_Document):
    """A GeoJSON FeatureCollection with a Feature for each region of each frame.

    Coordinates are pixels from the top left corner, x to the right and y down, and not degrees; the member `axes` says so. Outer
    rings come first and are counterclockwise by the numbers as they are (with y drawn up, as tools for maps do, which shows the
    picture upside down), holes are clockwise.
    """

    def __init__(self, target: Path | TextIO, table: Classes, wanted: Sequence[int], *, min_area: int = 0) -> None:
        """Name the file; `with` creates it.

        Args:
            target: a file, whose folder is created when missing, or an open stream, which stays open.
            table: names of the classes.
            wanted: indices of the classes to write.
            min_area: leave out regions of fewer pixels.

        Raises:
            OutputError: here or later, it cannot be written.
        """
        super().__init__(target, f'{{"type":"FeatureCollection","axes":{_json(_AXES)},"features":[')
        self._names, self._wanted, self._min_area = table.names, wanted, min_area

    def add(self, frame: FrameInfo, classes: np.ndarray) -> None:
        """Write the regions of a frame; `classes` is its (H, W) uint8 class map."""
        when = {} if frame.time_s is None else {"time_s": round(frame.time_s, 6)}
        for region in regions(classes, self._wanted, min_area=self._min_area):
            name = {"class": self._names[region.class_index], "class_index": region.class_index}
            rings = [np.concatenate([ring, ring[:1]]).tolist() for ring in (region.outer, *region.holes)]
            feature = {
                "type": "Feature",
                "properties": {**name, "area": region.area, "frame": frame.index, **when},
                "geometry": {"type": "Polygon", "coordinates": rings},
            }
            self._append(_json(feature))

    def _end(self) -> str:
        return "]}"


class CocoWriter(_Document):
    """A COCO data set: images, categories and annotations, as pycocotools reads it.

    As polygons, every region is an annotation of one closed line; a cut of no width leads from each hole to the line around it.
    As run lengths, every class in a frame is an annotation. Image and annotation ids count from 1, or on from other documents;
    the id of a category is the class index plus 1, because some tools take 0 for the background.
    """

    def __init__(
        self,
        target: Path | TextIO,
        table: Classes,
        wanted: Sequence[int],
        *,
        form: CocoForm,
        min_area: int = 0,
        ids: CocoIds | None = None,
    ) -> None:
        """Name the file; `with` creates it.

        Args:
            target: a file, whose folder is created when missing, or an open stream, which stays open.
            table: names of the classes.
            wanted: indices of the classes to write.
            form: of the annotations.
            min_area: leave out regions of fewer pixels, from run lengths too.
            ids: where to go on; kept up to date.

        Raises:
            OutputError: here or later, it cannot be written.
        """
        super().__init__(target, '{"annotations":[')
        self._names, self._wanted, self._min_area = table.names, wanted, min_area
        self._annotations = {"polygons": self._polygons, "rle": self._run_lengths}[form]
        self._ids = CocoIds() if ids is None else ids
        self._images: list[str] = []  # as text, which takes a tenth of the memory

    def add(self, frame: FrameInfo, classes: np.ndarray) -> None:
        """Write the annotations of a frame; `classes` is its (H, W) uint8 class map."""
        height, width = classes.shape
        self._ids.image += 1
        image: dict[str, Any] = {"id": self._ids.image, "file_name": frame.file_name, "width": width, "height": height}
        if frame.time_s is not None:
            image |= {"frame": frame.index, "time_s": round(frame.time_s, 6)}
        self._images.append(_json(image))
        for class_index, annotation in self._annotations(classes):
            self._ids.annotation += 1
            ids = {"id": self._ids.annotation, "image_id": self._ids.image, "category_id": class_index + 1}
            self._append(_json({**ids, "iscrowd": 0, **annotation}))

    def take_in(self, path: Path) -> None:
        """Add all that another document of this class holds, with its ids.

        Raises:
            UsageError: it is none, or was changed.
        """
        for is_image, _, item in _coco_items(path):
            if is_image:
                self._images.append(item)
            else:
                self._append(item)

    def _polygons(self, classes: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        for region in regions(classes, self._wanted, min_area=self._min_area):
            segmentation = [one_ring(region).ravel().tolist()]
            yield region.class_index, {"segmentation": segmentation, "area": region.area, "bbox": region.bbox}

    def _run_lengths(self, classes: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        kept = _without_small(classes, self._wanted, self._min_area) if self._min_area > 1 else classes
        columns = np.ascontiguousarray(kept.T)  # COCO counts down the columns
        for index in self._wanted:
            mask = (columns == index).view(np.uint8)
            top, left, height, width = cv2.boundingRect(mask)  # of the picture on its side
            if not width:
                continue
            counts = run_lengths(mask.ravel())
            segmentation = {"size": classes.shape, "counts": compressed(counts)}
            yield index, {"segmentation": segmentation, "area": int(counts[1::2].sum()), "bbox": (left, top, width, height)}

    def _end(self) -> str:
        categories = [{"id": index + 1, "name": self._names[index]} for index in self._wanted]
        images = ",\n".join(self._images)
        return f'],"images":[\n{images}\n],"categories":{_json(categories)}}}'


def last_ids(paths: Iterable[Path]) -> CocoIds:
    """The highest ids in documents of `CocoWriter`.

    Raises:
        UsageError: one is none, or was changed.
    """
    highest = {True: 0, False: 0}
    for path in paths:
        for is_image, number, _ in _coco_items(path):
            highest[is_image] = max(highest[is_image], number)
    return CocoIds(image=highest[True], annotation=highest[False])


def _coco_items(path: Path) -> Iterator[tuple[bool, int, str]]:
    """The lines of a document, annotations and then images: whether it is an image, its id, and its JSON."""
    part = 0
    try:
        with path.open(encoding="ascii") as file:
            for line in file:
                if (item := _ITEM.match(line)) is not None:
                    yield part == 2, int(item[1]), line.rstrip(",\n")
                else:
                    part += bool(line.strip())
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read {path}: {error}; remove it and run again without --resume") from error
    if part != _PARTS:
        raise UsageError(f"{path} is not as it was written: remove it and run again without --resume")


@contextmanager
def _file(path: Path) -> Iterator[TextIO]:
    with replacing(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        yield file


def one_ring(region: Region) -> np.ndarray:
    """The outline of a region as a single ring, holes included.

    From the first corner of each hole a cut of no width leads left, through the region, to the ring that it meets first. Both
    rules of filling, even-odd and nonzero, leave the holes open.

    Returns:
        (N, 2) int32 x, y; the first point is not repeated.
    """
    path = region.outer
    for hole in region.holes:  # from top to bottom, so that the ring to the left is in the path already
        x, y = hole[0]
        ends = np.roll(path, -1, axis=0)
        top, bottom = np.minimum(path[:, 1], ends[:, 1]), np.maximum(path[:, 1], ends[:, 1])
        met = (path[:, 0] == ends[:, 0]) & (path[:, 0] <= x) & (top <= y) & (y <= bottom)
        edge = int(np.argmax(np.where(met, path[:, 0], -1)))
        foot = np.array([[path[edge, 0], y]], np.int32)
        path = np.concatenate([path[: edge + 1], foot, hole, foot, path[edge + 1 :]])  # the last side of a hole leads left too
    return np.compress((path != np.roll(path, 1, axis=0)).any(axis=1), path, axis=0)  # a foot may lie on a corner


def _without_small(classes: np.ndarray, wanted: Sequence[int], min_area: int) -> np.ndarray:
    """A class map without the regions of fewer pixels, whose pixels are of no class."""
    left = classes.copy()
    for region in regions(classes, wanted):
        if region.area < min_area:
            x, y = region.outer[0].tolist()  # the pixel below and right of a first corner belongs to the region
            cv2.floodFill(left, None, (x, y), _NO_CLASS, flags=4)
    return left


def run_lengths(mask: np.ndarray) -> np.ndarray:
    """Lengths of the runs of zeros and ones in turn, of an (N,) mask; the first, of zeros, may be empty."""
    changes = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    return np.diff(np.concatenate([[0] * (2 if mask[0] else 1), changes, [mask.size]]))


def compressed(counts: np.ndarray) -> str:
    """Run lengths as the text that COCO calls compressed (`rleToString` in pycocotools' maskApi.c).

    From the fourth on, a length is told by its difference from the last but one. Each number is written in groups of five bits,
    the lowest first, with a sixth bit where more follow and the sign in the highest of the last group.
    """
    rest = counts.astype(np.int64)
    rest[3:] -= counts[1:-2]
    groups, present = [], [np.ones(rest.size, bool)]
    while present[-1].any():
        group, rest = rest & 31, rest >> 5
        more = present[-1] & (rest != np.where(group & 16, -1, 0))
        groups.append(group + 32 * more + 48)
        present.append(more)
    return bytes(np.array(groups, np.uint8).T[np.array(present[:-1]).T]).decode("ascii")


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
