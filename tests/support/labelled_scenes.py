"""Small labelled scenes, and folders of them as other tools write them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

NAMES = ("road", "sky", "car")
COLOURS = ((128, 64, 128), (70, 130, 180), (0, 0, 142))
HEIGHT, WIDTH = 64, 96


@dataclass(frozen=True)
class Scene:
    """A picture, and the rectangles of its labels: later ones are smaller and lie over earlier ones."""

    name: str
    split: str
    image: np.ndarray
    boxes: tuple[tuple[int, tuple[int, int, int, int]], ...]
    """Class, left, top, right, bottom."""

    @property
    def ids(self) -> np.ndarray:
        """(64, 96) uint8, 255 where there is no label."""
        ids = np.full((HEIGHT, WIDTH), 255, np.uint8)
        for index, (left, top, right, bottom) in self.boxes:
            ids[top:bottom, left:right] = index
        return ids

    @property
    def rings(self) -> list[tuple[int, list[int]]]:
        return [(index, [x0, y0, x1, y0, x1, y1, x0, y1]) for index, (x0, y0, x1, y1) in self.boxes]


def scenes(train: int = 4, val: int = 3) -> list[Scene]:
    made = []
    for number, split in enumerate(["train"] * train + ["val"] * val):
        generator = np.random.default_rng(number)
        image = cv2.resize(generator.integers(0, 256, (7, 9, 3), dtype=np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        x, y = int(generator.integers(5, 60)), int(generator.integers(34, 46))
        boxes = ((0, (0, 30, WIDTH, HEIGHT)), (1, (0, 0, WIDTH, 20 + number)), (2, (x, y, x + 20, y + 12)))
        made.append(Scene(f"{split}_{'ab'[number % 2]}_{number:03d}", split, image, boxes))
    return made


def _save(path: Path, picture: np.ndarray | Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(picture, Image.Image):
        picture.save(path)
    else:
        assert cv2.imwrite(str(path), picture)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def coloured(ids: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 BGR."""
    table = np.zeros((256, 3), np.uint8)
    table[:3] = COLOURS
    return np.ascontiguousarray(table[ids][..., ::-1])


CLASSES_YAML = "classes: [{name: road, colour: '#804080'}, {name: sky, colour: '#4682b4'}, {name: car, colour: [0, 0, 142]}]\n"


def index_folders(root: Path, those: Sequence[Scene]) -> None:
    _text(root / "classes.yaml", CLASSES_YAML)
    for scene in those:
        _save(root / "images" / scene.split / f"{scene.name}.jpg", scene.image)
        _save(root / "masks" / scene.split / f"{scene.name}.png", scene.ids)


def colour_folders(root: Path, those: Sequence[Scene]) -> None:
    _text(root / "class_dict.csv", "name,r,g,b\nroad,128,64,128\nsky,70,130,180\ncar,0,0,142\n")
    for scene in those:
        _save(root / scene.split / f"{scene.name}.png", scene.image)
        _save(root / f"{scene.split}_labels" / f"{scene.name}_L.png", coloured(scene.ids))


def palette_folders(root: Path, those: Sequence[Scene]) -> None:
    """Lists name the pictures; the numbers behind the palette are not those of the table, its colours are."""
    _text(root / "labelmap.txt", "# label:color_rgb:parts:actions\nroad:128,64,128::\nsky:70,130,180::\ncar:0,0,142::\n")
    for split in ("train", "val"):
        _text(root / "splits" / f"{split}.txt", "".join(f"{scene.name}\n" for scene in those if scene.split == split))
    for scene in those:
        mask = Image.fromarray(np.where(scene.ids == 255, 255, 9 - scene.ids).astype(np.uint8))
        mask.putpalette(bytes(21) + bytes(COLOURS[2] + COLOURS[1] + COLOURS[0]) + bytes(738))
        _save(root / "images" / f"{scene.name}.png", scene.image)
        _save(root / "masks" / f"{scene.name}.png", mask)


def pair_lists(root: Path, those: Sequence[Scene]) -> None:
    _text(root / "classes.yaml", CLASSES_YAML)
    for split in ("train", "val"):
        lines = [
            f"/home/me/set/{split}/{scene.name}.png /home/me/set/{split}annot/{scene.name}.png"
            for scene in those
            if scene.split == split
        ]
        _text(root / f"{split}.txt", "\n".join(lines))
    for scene in those:
        _save(root / scene.split / f"{scene.name}.png", scene.image)
        _save(root / f"{scene.split}annot" / f"{scene.name}.png", scene.ids)


def _coco(root: Path, those: Sequence[Scene], segmentation: Callable[[list[int]], object]) -> None:
    for split in ("train", "val"):
        images, annotations = [], []
        for number, scene in enumerate((scene for scene in those if scene.split == split), 1):
            _save(root / split / f"{scene.name}.jpg", scene.image)
            images.append({"id": 7 * number, "file_name": f"{scene.name}.jpg", "height": HEIGHT, "width": WIDTH})
            for index, ring in reversed(scene.rings):  # the small one first: the order of a document means nothing
                ids = {"id": len(annotations) + 1, "image_id": 7 * number, "category_id": 10 * index + 1}
                annotations.append({**ids, "iscrowd": 0, "segmentation": segmentation(ring)})
        categories = [{"id": 10 * index + 1, "name": name} for index, name in enumerate(NAMES)]
        document = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
        _text(root / "annotations" / f"instances_{split}2026.json", json.dumps(document))


def coco_polygons(root: Path, those: Sequence[Scene]) -> None:
    _coco(root, those, lambda ring: [ring])


def coco_compressed(root: Path, those: Sequence[Scene]) -> None:
    def encoded(ring: list[int]) -> dict[str, object]:
        rle = coco_mask.merge(coco_mask.frPyObjects([ring], HEIGHT, WIDTH))
        return {"size": rle["size"], "counts": rle["counts"].decode()}

    _coco(root, those, encoded)


def coco_counts(root: Path, those: Sequence[Scene]) -> None:
    def counted(ring: list[int]) -> dict[str, object]:
        column_major = np.concatenate(
            [[0], coco_mask.decode(coco_mask.frPyObjects([ring], HEIGHT, WIDTH))[..., 0].T.ravel(), [2]]
        )
        edges = np.flatnonzero(np.diff(column_major))
        return {"size": [HEIGHT, WIDTH], "counts": np.diff(edges, prepend=0).tolist()}

    _coco(root, those, counted)


CITYSCAPES_IDS = {0: 7, 1: 23, 2: 26}


def _cityscapes(root: Path, scene: Scene) -> Path:
    city = f"{scene.split}/city"
    _save(root / "leftImg8bit" / city / f"{scene.name}_leftImg8bit.png", scene.image)
    return root / "gtFine" / city / f"{scene.name}_gtFine_"


def cityscapes_ids(root: Path, those: Sequence[Scene]) -> None:
    for scene in those:
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        for index, number in CITYSCAPES_IDS.items():
            mask[scene.ids == index] = number
        _save(_cityscapes(root, scene).with_name(f"{scene.name}_gtFine_labelIds.png"), mask)
        _save(_cityscapes(root, scene).with_name(f"{scene.name}_gtFine_instanceIds.png"), mask.astype(np.uint16) * 1000)


def cityscapes_polygons(root: Path, those: Sequence[Scene]) -> None:
    """The right and lower edges of a polygon belong to it there."""
    for scene in those:
        objects = [
            {"label": NAMES[index] + "group" * (index == 2), "polygon": [[x0, y0], [x1 - 1, y0], [x1 - 1, y1 - 1], [x0, y1 - 1]]}
            for index, (x0, y0, x1, y1) in scene.boxes
        ]
        objects.append({"label": "license plate", "polygon": objects[-1]["polygon"]})
        objects.append({"label": "sky", "deleted": 1, "polygon": objects[0]["polygon"]})
        document = {"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": objects}
        _text(_cityscapes(root, scene).with_name(f"{scene.name}_gtFine_polygons.json"), json.dumps(document))


def cvat_masks(root: Path, those: Sequence[Scene]) -> None:
    """CVAT's "segmentation mask 1.1" of a project, saved with its pictures."""
    lines = [f"{name}:{','.join(map(str, colour))}::" for name, colour in zip(NAMES, COLOURS, strict=True)]
    _text(root / "labelmap.txt", "\n".join(["# label:color_rgb:parts:actions", "background:0,0,0::", *lines]))
    for split in ("Train", "Validation"):
        chosen = [scene for scene in those if scene.split == split.lower()[:3] or scene.split == split.lower()]
        _text(root / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join(scene.name for scene in chosen))
    for scene in those:
        _save(root / "JPEGImages" / f"{scene.name}.jpg", scene.image)
        _save(root / "SegmentationClass" / f"{scene.name}.png", coloured(scene.ids))
        _save(root / "SegmentationObject" / f"{scene.name}.png", coloured(scene.ids))


VOC_IDS = {0: 15, 1: 20, 2: 7}
"""person, tvmonitor and car stand in for the three classes."""


def voc(root: Path, those: Sequence[Scene]) -> None:
    """Numbers behind PASCAL VOC's palette, 255 for borders."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1]
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= bits[:, bit] << (7 - bit // 3)
    palette[255] = (224, 224, 192)
    for scene in those:
        numbers = np.full((HEIGHT, WIDTH), 255, np.uint8)
        for index, number in VOC_IDS.items():
            numbers[scene.ids == index] = number
        mask = Image.fromarray(numbers)
        mask.putpalette(palette.tobytes())
        _save(root / "VOC2012" / "SegmentationClass" / f"{scene.name}.png", mask)
        _save(root / "VOC2012" / "JPEGImages" / f"{scene.name}.jpg", scene.image)
        _save(root / "VOC2012" / "JPEGImages" / f"boxes_{scene.name}.jpg", scene.image)
    for split in ("train", "val"):
        names = [scene.name for scene in those if scene.split == split]
        _text(root / "VOC2012" / "ImageSets" / "Segmentation" / f"{split}.txt", "\n".join(names))
    _text(root / "VOC2012" / "ImageSets" / "Segmentation" / "trainval.txt", "\n".join(scene.name for scene in those))


def brush(mask: np.ndarray) -> list[int]:
    """A (H, W) bool mask as Label Studio has it: every run repeated, in counts of 16 bits."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), values.size]
    bits = f"{values.size:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    for start, end in pairwise(edges):
        for at in range(start, end, 65536):
            bits += f"111{min(end - at, 65536) - 1:016b}{values[start]:08b}"
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def label_studio(root: Path, those: Sequence[Scene]) -> None:
    """Brushes for the car, polygons for the rest; Label Studio knows no splits."""
    tasks = []
    for number, scene in enumerate(those):
        _save(root / "images" / f"{scene.name}.jpg", scene.image)
        results = []
        for index, (x0, y0, x1, y1) in scene.boxes:
            about = {
                "original_width": WIDTH,
                "original_height": HEIGHT,
                "image_rotation": 0,
                "from_name": "tag",
                "to_name": "image",
            }
            if index == 2:
                mask = np.zeros((HEIGHT, WIDTH), bool)
                mask[y0:y1, x0:x1] = True
                value, kind = {"format": "rle", "rle": brush(mask), "brushlabels": [NAMES[index]]}, "brushlabels"
            else:
                corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
                points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in corners]
                value, kind = {"points": points, "closed": True, "polygonlabels": [NAMES[index]]}, "polygonlabels"
            results.append({**about, "value": value, "type": kind})
        old = {"result": results[:1], "was_cancelled": False, "created_at": "2025-01-01T00:00:00Z"}
        new = {"result": results, "was_cancelled": False, "created_at": "2026-01-01T00:00:00Z"}
        cancelled = {"result": [], "was_cancelled": True, "created_at": "2026-02-01T00:00:00Z"}
        image = f"/data/upload/3/0a1b2c3d-{scene.name}.jpg" if number % 2 else f"/data/local-files/?d=images%2F{scene.name}.jpg"
        tasks.append({"id": number, "annotations": [new, old, cancelled], "predictions": [], "data": {"image": image}})
    _text(root / "project-1-at-2026-01-02.json", json.dumps(tasks))


def yolo(root: Path, those: Sequence[Scene]) -> None:
    _text(root / "data.yaml", "path: ../set\ntrain: images/train\nval: images/val\nnames:\n  0: road\n  1: sky\n  5: car\n")
    for scene in those:
        _save(root / "images" / scene.split / f"{scene.name}.jpg", scene.image)
        lines = []
        for index, ring in reversed(scene.rings):
            parts = " ".join(f"{value / (WIDTH, HEIGHT)[at % 2]:.9f}" for at, value in enumerate(ring))
            lines.append(f"{(0, 1, 5)[index]} {parts}")
        _text(root / "labels" / scene.split / f"{scene.name}.txt", "\n".join(lines))


def drawn(size_wh: tuple[int, int], polygon: list[tuple[int, int]]) -> np.ndarray:
    """What Pillow fills, as cityscapesScripts does it."""
    image = Image.new("L", size_wh)
    ImageDraw.Draw(image).polygon(polygon, fill=1)
    return np.asarray(image).astype(bool)
