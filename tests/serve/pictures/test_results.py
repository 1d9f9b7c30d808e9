import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from icnet.base.classes import CAMVID
from icnet.results.polygons import fill
from icnet.results.style import Style, read_style
from icnet.runtime.engine import EngineOptions
from icnet.runtime.segmenter import Segmentation, Segmenter
from icnet.serve.errors import BadRequest, NotAcceptable
from icnet.serve.models import Served
from icnet.serve.pictures.results import Form, Wanted, encode, negotiate

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2

PICTURE = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8), (160, 120))
ONLY = read_style(CAMVID, "Road,Sky,Fence")


@pytest.fixture(scope="module")
def served(weight_file) -> Served:
    return Served("tiny", "0123456789ab", Segmenter(weight_file, EngineOptions(threads=1)))


@pytest.fixture(scope="module")
def segmentation(served) -> Segmentation:
    result = served.segmenter(PICTURE, confidence=True)
    assert len(np.unique(result.classes)) > 3
    return result


@pytest.fixture
def answer(served, segmentation):
    def encoded(form: Form, media_type: str = "image/png", style: Style | None = None, **others) -> bytes:
        return encode(segmentation, Wanted(style or Style(CAMVID), form, media_type, **others), served)

    return encoded


def picture(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def test_class_maps(answer, segmentation, tmp_path):
    assert np.array_equal(picture(answer("classes")), segmentation.classes)
    shown = picture(answer("classes", style=ONLY))
    assert np.array_equal(shown, np.where(np.isin(segmentation.classes, ONLY.only), segmentation.classes, 11))
    (tmp_path / "p.png").write_bytes(answer("palette"))
    with Image.open(tmp_path / "p.png") as indexed:
        assert indexed.mode == "P"
        assert np.array_equal(np.asarray(indexed), segmentation.classes)
        assert np.array_equal(np.asarray(indexed.convert("RGB")), CAMVID.palette_rgb[segmentation.classes])


def test_confidence_and_layers(answer, segmentation):
    assert np.array_equal(picture(answer("confidence")), segmentation.confidence)
    layers = picture(answer("layers"))
    assert layers.shape == (240, 160)
    assert np.array_equal(layers[:120], segmentation.classes)
    assert np.array_equal(layers[120:], segmentation.confidence)
    assert [Wanted(Style(CAMVID), form).confidence for form in ("confidence", "layers", "classes")] == [True, True, False]


def test_colours_and_overlays(answer, segmentation):
    assert np.array_equal(picture(answer("colour")), CAMVID.palette_rgb[segmentation.classes][:, :, ::-1])
    assert np.array_equal(picture(answer("overlay")), segmentation.overlay())
    plain = picture(answer("overlay", opacity=0.3, legend=False))
    assert np.array_equal(plain, segmentation.overlay(opacity=0.3, legend=False))
    some = picture(answer("overlay", style=ONLY, legend=False))
    assert np.array_equal(some, ONLY.overlay(segmentation, legend=False))
    jpeg = answer("overlay", "image/jpeg")
    assert jpeg.startswith(b"\xff\xd8")
    assert np.abs(picture(jpeg).astype(int) - segmentation.overlay()).mean() < 8


def painted(shapes: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """A class map of masks, 11 elsewhere; each pixel belongs to one at most."""
    again = np.full((120, 160), 11, np.uint8)
    for index, mask in shapes:
        assert (again[mask] == 11).all()
        again[mask] = index
    return again


def of_geojson(document: dict) -> list[tuple[int, np.ndarray]]:
    return [
        (
            feature["properties"]["class_index"],
            fill([np.array(ring[:-1]) for ring in feature["geometry"]["coordinates"]], (120, 160)).astype(bool),
        )
        for feature in document["features"]
    ]


def of_coco(document: dict) -> list[tuple[int, np.ndarray]]:
    (image,) = document["images"]
    assert (image["width"], image["height"]) == (160, 120)
    shapes = []
    for annotation in document["annotations"]:
        shape = annotation["segmentation"]
        code = coco_mask.merge(coco_mask.frPyObjects(shape, 120, 160)) if isinstance(shape, list) else shape
        shapes.append((annotation["category_id"] - 1, coco_mask.decode(code).astype(bool)))
    return shapes


@pytest.mark.parametrize(("form", "shapes"), [("geojson", of_geojson), ("coco", of_coco), ("rle", of_coco)])
def test_outlines_and_run_lengths_are_the_classes(answer, segmentation, form, shapes):
    assert np.array_equal(painted(shapes(json.loads(answer(form)))), segmentation.classes)
    shown = np.where(np.isin(segmentation.classes, ONLY.only), segmentation.classes, 11)
    assert np.array_equal(painted(shapes(json.loads(answer(form, style=ONLY)))), shown)
    assert len(answer(form, style=Style(CAMVID, min_area=60))) < len(answer(form))


def test_shares(answer, segmentation):
    told = json.loads(answer("shares"))
    assert told == {
        "model": "tiny", "version": "0123456789ab", "width": 160, "height": 120, "shares": segmentation.shares()
    }  # fmt: skip
    assert sum(told["shares"].values()) == pytest.approx(1)
    some = json.loads(answer("shares", style=ONLY))["shares"]
    assert some == {name: segmentation.shares()[name] for name in ("Sky", "Road", "Fence")}


def test_jpeg_holds_no_such_picture(served):
    strip = np.zeros((1, 65_501, 3), np.uint8)
    long = Segmentation(strip, strip[:, :, 0].copy(), CAMVID)
    with pytest.raises(BadRequest, match=r"JPEG holds 65500 pixels a side and the picture has 65501: ask for image/png"):
        encode(long, Wanted(Style(CAMVID), "overlay", "image/jpeg"), served)
    assert picture(encode(long, Wanted(Style(CAMVID), "overlay"), served)).shape == strip.shape


def test_the_longest_pictures_that_are_read_have_layers(served):
    for shape in ((1, 500_000), (500_000, 1)):
        classes = np.zeros(shape, np.uint8)
        long = Segmentation(np.zeros((*shape, 3), np.uint8), classes, CAMVID, classes)
        assert picture(encode(long, Wanted(Style(CAMVID), "layers"), served)).shape == (2 * shape[0], shape[1])


@pytest.mark.parametrize(
    ("form", "accept", "expected"),
    [
        (None, None, ("classes", "image/png")),
        (None, "*/*", ("classes", "image/png")),
        (None, "image/jpeg", ("overlay", "image/jpeg")),
        (None, "application/geo+json", ("geojson", "application/geo+json")),
        (None, "application/json", ("shares", "application/json")),
        ("coco", "image/png", ("coco", "application/json")),
        ("overlay", None, ("overlay", "image/png")),
        ("overlay", "image/*", ("overlay", "image/png")),
        ("overlay", "image/jpeg, image/png;q=0.5", ("overlay", "image/jpeg")),
        ("overlay", "text/html", ("overlay", "image/png")),
        ("classes", "image/jpeg", ("classes", "image/png")),
    ],
)
def test_the_parameter_counts_more_than_the_header(form, accept, expected):
    assert negotiate(form, accept) == expected


def test_no_form_is_acceptable():
    with pytest.raises(NotAcceptable, match="takes none of image/png, image/jpeg, application/geo"):
        negotiate(None, "text/html")


def test_every_answer_is_smaller_than_the_class_map_as_json(answer, segmentation):
    tensor = json.dumps({"outputs": [{"name": "classes", "data": segmentation.classes.ravel().tolist()}]}).encode()
    sizes = {form: len(answer(form)) for form in ("classes", "palette", "rle", "shares")}
    assert max(sizes.values()) < len(tensor) / 5, (sizes, len(tensor))
    assert set(json.loads(answer("shares"))["shares"]) == set(CAMVID.names)
