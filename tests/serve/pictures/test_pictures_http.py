import json
import re
from collections.abc import Iterator

import cv2
import numpy as np
import openvino as ov
import pytest
from api_document import api_document
from picture_mutations import encoded, originals
from pictures_client import LIMITS, PICTURE, PNG, client_of, form, post, post_form, read, refusal, tiny_service
from PIL import Image
from serving import service
from starlette.testclient import TestClient

from icnet.network.openvino_model import openvino_model
from icnet.network.weights import random_weights
from icnet.serve.pictures.results import Form
from icnet.serve.service import Service


@pytest.fixture(scope="module")
def serve(tmp_path_factory) -> Service:
    return tiny_service(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def client(serve) -> Iterator[TestClient]:
    with client_of(serve) as client:
        yield client


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "IMAGE/anything; x=y", "application/octet-stream", None])
def test_masks_are_those_of_the_segmenter(client, serve, content_type):
    answer = post(client, PNG, content_type)
    assert answer.status_code == 200, answer.text
    served = serve.models.get()
    assert np.array_equal(read(answer.content), served.segmenter(PICTURE).classes)
    headers = answer.headers
    assert (headers["content-type"], headers["cache-control"]) == ("image/png", "no-store")
    assert (headers["x-model-name"], headers["x-model-version"]) == ("tiny", served.version)
    assert re.fullmatch(r"decode;dur=\d+\.\d, segment;dur=\d+\.\d, encode;dur=\d+\.\d", headers["server-timing"])


def test_every_readable_picture_is_segmented(client, serve):
    for name in ("PNG RGB", "JPEG RGB", "WebP", "AVIF", "HEIC", "BMP RGB", "TIFF raw"):
        answer = post(client, originals()[name])
        assert answer.status_code == 200, (name, answer.text)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.ascontiguousarray(np.rot90(PICTURE[:, :, ::-1], 1))
    answer = post(client, encoded(Image.fromarray(turned), "PNG", exif=exif))
    assert np.array_equal(read(answer.content), serve.models.get().segmenter(PICTURE).classes)


@pytest.mark.parametrize(
    ("form", "content_type"),
    [
        *((form, "image/png") for form in ("classes", "palette", "overlay", "colour", "confidence", "layers")),
        ("geojson", "application/geo+json"),
        *((form, "application/json") for form in ("coco", "rle", "shares")),
    ],
)
def test_every_form(client, serve, form: Form, content_type):
    answer = post(client, as_=form, accept="text/html")  # which counts for nothing beside the parameter
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    segmentation = serve.models.get().segmenter(PICTURE, confidence=True)
    if form == "layers":
        assert np.array_equal(read(answer.content), np.vstack([segmentation.classes, segmentation.confidence]))
    elif form == "overlay":
        assert np.array_equal(read(answer.content), segmentation.overlay())
    elif form == "shares":
        assert answer.json()["shares"] == segmentation.shares()
    elif content_type.endswith("json"):
        assert answer.json()


def test_the_accept_header_decides_without_the_parameter(client):
    for accept, content_type in (
        (None, "image/png"),
        ("*/*", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("application/geo+json, */*;q=0.1", "application/geo+json"),
        ("application/json", "application/json"),
    ):
        assert post(client, accept=accept).headers["content-type"] == content_type
    assert "the accept header takes none of image/png" in refusal(client, 406, accept="text/html")
    assert post(client, as_="overlay", accept="image/jpeg").content.startswith(b"\xff\xd8")


def test_parameters_choose_what_is_shown(client, serve):
    segmentation = serve.models.get().segmenter(PICTURE)
    plain = post(client, as_="overlay", opacity="0.25", legend="false")
    assert np.array_equal(read(plain.content), segmentation.overlay(opacity=0.25, legend=False))
    name = max(segmentation.shares(), key=segmentation.shares().get)
    assert list(post(client, as_="shares", only=name).json()["shares"]) == [name]
    small, large = (len(post(client, as_="geojson", min_area=area).json()["features"]) for area in (0, 500))
    assert small > large
    shy = serve.models.get().segmenter(PICTURE, abstain=0.9).shares()
    assert post(client, as_="shares", abstain=0.9).json()["shares"]["Unlabeled"] == pytest.approx(shy["Unlabeled"], abs=1e-5)
    assert shy["Unlabeled"] > segmentation.shares()["Unlabeled"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"as_": "picture"}, "'classes', 'palette'"),
        ({"as_": ""}, "'classes', 'palette'"),
        ({"only": "Roads"}, "there is no class Roads: choose among Sky"),
        ({"only": ","}, "no class is named"),
        ({"only": "Sky," * 501}, "2000 characters"),
        ({"min_area": -1}, "greater than or equal to 0"),
        ({"min_area": 2**31}, "less than or equal to 2147483647"),
        ({"min_area": "9" * 5000}, "min_area"),
        ({"opacity": 1.5}, "less than or equal to 1"),
        ({"opacity": "nan"}, "opacity"),
        ({"abstain": 1.5}, "less than or equal to 1"),
        ({"legend": "perhaps"}, "legend"),
        ({"other": 1}, "extra inputs are not permitted"),
        ({"legend": ["true", "false"]}, "the parameter legend is given 2 times"),
    ],
)
def test_wrong_parameters_are_refused(client, query, said):
    assert said in refusal(client, 400, **query)


def test_what_is_no_picture_is_refused(client):
    assert "cannot read the picture: it is no picture that can be read; expected a PNG" in refusal(client, 400, b"no picture")
    assert "cannot read the picture: the file is empty" in refusal(client, 400, b"")
    assert "cannot read the picture: it is damaged, cut off" in refusal(client, 400, PNG[:-400])
    assert "cannot read the picture" in refusal(client, 400, encoded(Image.fromarray(PICTURE), "GIF"))


def test_too_large_pictures_are_refused(client):
    large = cv2.imencode(".png", np.zeros((400, 300, 3), np.uint8))[1].tobytes()
    said = refusal(client, 413, large)
    assert said.startswith("cannot read the picture: it has 0.1 megapixels (300x400), more than the 0.1 allowed, so send")
    assert "1048576 bytes at most" in refusal(client, 413, bytes((1 << 20) + 1))


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "multipart/mixed"])
def test_other_media_types_are_refused(client, content_type):
    assert "this content-type is not read: send the picture itself as image/jpeg" in refusal(client, 415, PNG, content_type)


def test_what_curl_says_of_any_file_is_taken(client):
    assert post(client, PNG, "application/x-www-form-urlencoded").content == post(client, PNG, "image/png").content


def test_models_by_name(client):
    assert post(client, model="tiny").status_code == 200
    for name in ("other", "", "../tiny", "\0"):
        assert "there is no such model here: choose one of tiny" in refusal(client, 404, model=name)


def test_a_server_that_is_about_to_end_refuses(serve):
    ending = Service(serve.models, serve.pool, LIMITS, serve.metrics, draining=True)
    with client_of(ending) as client:
        assert "about to end" in refusal(client, 503)


def test_a_model_of_indices_under_a_name_that_no_header_holds(tiny, tmp_path):
    ov.save_model(openvino_model(random_weights(tiny), output="index"), tmp_path / "straße 道.xml", compress_to_fp16=False)
    with client_of(service(tmp_path / "straße 道.xml", limits=LIMITS)) as client:
        answer = post(client)
        assert answer.status_code == 200
        assert answer.headers["x-model-name"] == "stra%C3%9Fe%20%E9%81%93"
        for form in ("confidence", "layers"):
            assert "gives class indices only, without confidence" in refusal(client, 400, as_=form)


def test_stages_are_counted(client, serve):
    post(client)
    page = serve.metrics.page().decode()
    for stage in ("read", "queue", "decode", "segment", "encode"):
        assert float(re.search(rf'icnet_stage_seconds_count\{{stage="{stage}"\}} (\S+)', page)[1]) >= 1


def test_the_class_map_is_much_smaller_than_as_a_json_tensor(client):
    answer = post(client).content
    assert len(answer) < len(json.dumps({"data": read(answer).ravel().tolist()})) / 20


def test_forms_as_clients_write_them(client, serve):
    expected = serve.models.get().segmenter(PICTURE).classes
    for file in (("x.png", PNG, "image/png"), ("x", PNG), (None, PNG)):
        answer = client.post("/v1/segment", files={"image": file})
        assert np.array_equal(read(answer.content), expected)


def test_wrong_forms_are_refused(client):
    for body in (form(b"x", b"file"), form(b"x")[:-20], b"", form(b"x", content=b"no picture")):
        assert post_form(client, body).status_code == 400
    extra = {"image": ("x", PNG), "min_area": (None, b"5")}
    assert "more than one part" in client.post("/v1/segment", files=extra).json()["error"]
    assert "without a boundary" in refusal(client, 400, form(b"x"), "multipart/form-data")


def test_openapi_tells_what_comes_back():
    answers = api_document()["paths"]["/v1/segment"]["post"]["responses"]
    assert {"X-Model-Name", "X-Model-Version", "Server-Timing"} == set(answers["200"]["headers"])
    refused = {"400", "401", "403", "404", "406", "408", "413", "415", "503"}
    assert refused <= set(answers)
    for status in refused:
        assert answers[status]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert answers[status]["description"].endswith(".")
