import asyncio
import dataclasses
import http.client
import json
import threading
import time

import numpy as np
import openvino as ov
import pytest
import tritonclient.http
from api_document import api_document
from listening import bare_service
from protocol import picture, serving_protocol
from serving import service
from tiny_network import TINY
from tritonclient.utils import InferenceServerException

from icnet.network.openvino_model import openvino_model
from icnet.network.weights import random_weights, save_weights
from icnet.serve.http.gatekeeper import Gatekeeper
from icnet.serve.inference import protocol as inference
from icnet.serve.inference.exchange import InferenceResponse, respond
from icnet.serve.inference.routes import _sent
from icnet.serve.limits import Limits

HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def both(weight_file):
    with serving_protocol(service(weight_file, limits=Limits(pixels=300_000, body_seconds=0.5))) as both:
        yield both


@pytest.fixture(scope="module")
def client(both):
    with tritonclient.http.InferenceServerClient(both.http, concurrency=4) as client:
        yield client


def triton_input(data: np.ndarray, **how) -> list[tritonclient.http.InferInput]:
    return [tritonclient.http.InferInput("data", data.shape, "UINT8").set_data_from_numpy(data, **how)]


def call(both, path: str, body: bytes | dict | None = None, headers: dict | None = None, method: str | None = None):
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection(both.http, timeout=20)
    try:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method or ("GET" if data is None else "POST"), path, data, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def error(both, path: str, body, headers: dict | None = None) -> tuple[int, str]:
    status, _, answered = call(both, path, body, headers)
    document = json.loads(answered)
    assert list(document) == ["error"]
    assert len(document["error"]) < 300
    return status, document["error"]


INFER = "/v2/models/tiny/infer"


def asked(data: np.ndarray | None = None, *outputs: str, **changes) -> dict:
    """A request in JSON."""
    data = picture((3, 4)) if data is None else data
    tensor = {"name": "data", "datatype": "UINT8", "shape": list(data.shape), "data": data.ravel().tolist()}
    tensor |= changes.pop("tensor", {})
    tensor = {key: value for key, value in tensor.items() if value is not ...}
    request = {"inputs": [tensor]} | ({"outputs": [{"name": name} for name in outputs]} if outputs else {}) | changes
    return {key: value for key, value in request.items() if value is not ...}


def test_what_triton_clients_ask_first(both, client):
    served = both.service.models.get()
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", served.version)
    assert not client.is_model_ready("tiny", "1")
    assert not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "icnet"
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("tiny")
    assert metadata == client.get_model_metadata("tiny", served.version)
    assert metadata == {
        "name": "tiny",
        "versions": [served.version],
        "platform": "icnet_openvino",
        "inputs": [{"name": "data", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
        "outputs": [
            {"name": "classes", "datatype": "UINT8", "shape": [-1, -1, -1]},
            {"name": "confidence", "datatype": "UINT8", "shape": [-1, -1, -1]},
            {"name": "logits", "datatype": "FP32", "shape": [-1, 12, 24, 32]},
        ],
    }


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("size_hw", [(60, 80), (96, 128), (1, 1), (301, 7)])
def test_outputs_are_the_segmenters_own(both, client, binary_in, binary_out, size_hw):
    data, segmenter = picture(size_hw, seed=3), both.service.models.get().segmenter
    outputs = [
        tritonclient.http.InferRequestedOutput(name, binary_data=binary_out) for name in ("logits", "classes", "confidence")
    ]
    result = client.infer("tiny", triton_input(data, binary_data=binary_in), outputs=outputs, request_id="é 7")
    assert result.get_response()["id"] == "é 7"
    assert result.get_response()["model_version"] == both.service.models.get().version
    expected = segmenter(data[0], confidence=True)
    assert np.array_equal(result.as_numpy("classes"), expected.classes[np.newaxis])
    assert np.array_equal(result.as_numpy("confidence"), expected.confidence[np.newaxis])
    assert result.as_numpy("logits").shape == (1, 12, 24, 32)
    if size_hw == segmenter.engine.size_hw:
        assert np.array_equal(result.as_numpy("logits"), segmenter.engine.infer(data))


@pytest.mark.parametrize("binary", [True, False])
def test_several_pictures_at_a_time(both, client, binary):
    data, segmenter = np.concatenate([picture((33, 20), seed=seed) for seed in range(3)]), both.service.models.get().segmenter
    outputs = [tritonclient.http.InferRequestedOutput(name, binary_data=binary) for name in ("classes", "logits", "confidence")]
    result = client.infer("tiny", triton_input(data, binary_data=binary), outputs=outputs)
    assert result.as_numpy("logits").shape == (3, 12, 24, 32)
    for number, frame in enumerate(data):
        expected = segmenter(frame, confidence=True)
        assert np.array_equal(result.as_numpy("classes")[number], expected.classes)
        assert np.array_equal(result.as_numpy("confidence")[number], expected.confidence)


def test_configuration_and_statistics(both, client):
    served = both.service.models.get()
    config = client.get_model_config("tiny")
    assert config == client.get_model_config("tiny", served.version)
    assert (config["name"], config["platform"], config["max_batch_size"]) == ("tiny", "icnet_openvino", 16)
    assert config["input"] == [{"name": "data", "data_type": "TYPE_UINT8", "format": "FORMAT_NHWC", "dims": [-1, -1, 3]}]
    assert [(one["name"], one["data_type"], one["dims"]) for one in config["output"]] == [
        ("classes", "TYPE_UINT8", [-1, -1]),
        ("confidence", "TYPE_UINT8", [-1, -1]),
        ("logits", "TYPE_FP32", [12, 24, 32]),
    ]

    def told(*names: str) -> dict:
        (one,) = client.get_inference_statistics(*names)["model_stats"]
        assert (one["name"], one["version"]) == ("tiny", served.version)
        return one

    before = told()
    client.infer("tiny", triton_input(np.concatenate([picture(), picture()])))
    client.infer("tiny", triton_input(picture()))
    with pytest.raises(InferenceServerException, match="classification"):
        client.infer("tiny", triton_input(picture()), parameters={"classification": 1})
    after = told("tiny", served.version)
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["last_inference"] == pytest.approx(1000 * time.time(), abs=60_000)
    for name, count in {"success": 2, "fail": 1, "queue": 2, "compute_input": 2, "compute_infer": 2, "compute_output": 2}.items():
        old, new = before["inference_stats"][name], after["inference_stats"][name]
        assert new["count"] - old["count"] == count, name
        assert 0 < new["ns"] - old["ns"] < 60e9, name
    (executions,) = after["batch_stats"]
    assert (executions["batch_size"], executions["compute_infer"]["count"]) == (1, after["execution_count"])
    for path in ("other/stats", "other/config", "tiny/versions/1/stats"):
        assert call(both, f"/v2/models/{path}")[0] == 404


def test_all_outputs_where_none_is_named(both, client):
    result = client.infer("tiny", triton_input(picture()), model_version=both.service.models.get().version)
    assert [output["name"] for output in result.get_response()["outputs"]] == ["classes", "confidence", "logits"]
    assert all("binary_data_size" in output["parameters"] for output in result.get_response()["outputs"])
    status, headers, body = call(both, INFER, asked())
    assert (status, headers["content-type"], HEADER in headers) == (200, "application/json", False)
    assert (headers["x-model-name"], headers["x-model-version"]) == ("tiny", both.service.models.get().version)
    assert [len(output["data"]) for output in json.loads(body)["outputs"]] == [12, 12, 12 * 24 * 32]
    assert "id" not in json.loads(body)


def test_asynchronous_inference(both, client):
    requests = [client.async_infer("tiny", triton_input(picture(seed=seed))) for seed in range(4)]
    for seed, request in enumerate(requests):
        expected = both.service.models.get().segmenter(picture(seed=seed)[0]).classes
        assert np.array_equal(request.get_result().as_numpy("classes")[0], expected)


def test_only_what_is_asked_for_is_computed(both, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr(inference, "decode_confidence", refuse)
    served = both.service.models.get()
    for outputs in (["classes"], ["logits"]):
        respond(both.service, served, json.dumps(asked(None, *outputs)).encode(), [])
    monkeypatch.setattr(inference, "decode", refuse)
    respond(both.service, served, json.dumps(asked(None, "logits")).encode(), [])
    with pytest.raises(AssertionError):
        respond(both.service, served, json.dumps(asked(None, "classes")).encode(), [])


def test_each_output_by_itself_binary_or_not(both):
    request = asked(None, "confidence", "classes", parameters={"binary_data_output": True, "unknown": 1})
    request["outputs"][0]["parameters"] = {"binary_data": False}
    status, headers, body = call(both, INFER, request)
    length = int(headers[HEADER])
    confidence, classes = json.loads(body[:length])["outputs"]
    assert (status, headers["content-type"], len(body) - length) == (200, "application/octet-stream", 12)
    assert (len(confidence["data"]), classes["parameters"], "data" in classes) == (12, {"binary_data_size": 12}, False)


@pytest.mark.parametrize(("output", "names"), [("index", ["classes"]), ("soft", ["classes", "confidence", "soft"])])
def test_models_of_other_outputs(tmp_path, output, names):
    ov.save_model(openvino_model(random_weights(TINY, seed=1), output=output), tmp_path / "a model.xml", compress_to_fp16=False)
    with (
        serving_protocol(service(tmp_path / "a model.xml")) as both,
        tritonclient.http.InferenceServerClient(both.http) as client,
    ):
        assert [described["name"] for described in client.get_model_metadata("a model")["outputs"]] == names
        result, data = client.infer("a model", triton_input(picture())), picture()
        assert call(both, "/v2/models/a%20model/infer", asked())[1]["x-model-name"] == "a model"
        assert np.array_equal(result.as_numpy("classes")[0], both.service.models.get().segmenter(data[0]).classes)
        if output == "soft":
            assert result.as_numpy("soft").shape == (1, 12, 96, 128)
            assert result.as_numpy("soft").sum(1) == pytest.approx(1, abs=1e-5)
        else:
            status, text = error(both, "/v2/models/a%20model/infer", asked(None, "confidence"))
            assert (status, text) == (400, "there is no such output of a model: choose among classes")


def test_a_large_answer_comes_whole(tmp_path):
    large = dataclasses.replace(TINY, size_hw=(384, 512))
    save_weights(tmp_path / "large.safetensors", random_weights(large, seed=1))
    with serving_protocol(service(tmp_path / "large.safetensors")) as both:
        data, segmenter = picture((384, 512)), both.service.models.get().segmenter
        status, headers, body = call(both, INFER, asked(data, "logits"))
        assert len(body) == int(headers["content-length"]) > 1 << 20
        values = np.array(json.loads(body)["outputs"][0]["data"], np.float32)
        assert status == 200
        assert np.array_equal(values.reshape(1, 12, 96, 128), segmenter.engine.infer(data))


def test_a_large_answer_is_handed_on_in_pieces():
    """Else the event loop copies all of it at once."""
    pieces = [b"head", memoryview(bytes(range(256)) * 4000)]
    sent, headers = [], {"x": "y"}

    async def send(message) -> None:
        sent.append(message)

    async def receive():
        await asyncio.Event().wait()

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "asgi": {"version": "3.0", "spec_version": "2.4"}}
    asyncio.run(Gatekeeper(_sent(InferenceResponse(pieces, 4), headers), bare_service())(scope, receive, send))
    bodies = [message["body"] for message in sent[1:]]
    assert max(map(len, bodies)) <= 1 << 18
    assert b"".join(bodies) == b"".join(pieces)


WRONG = {
    "no JSON": (b"\x89PNG", "not JSON"),
    "empty": (b"", "not JSON"),
    "array": (b"[]", "the body: "),
    "null": (b"null", "the body: "),
    "no inputs": (asked(inputs=...), "inputs: field required"),
    "inputs null": (asked(inputs=None), "inputs: field required"),
    "inputs text": (asked(inputs="data"), "inputs: "),
    "inputs empty": (asked(inputs=[]), "inputs: "),
    "two inputs": (asked(inputs=asked()["inputs"] * 2), "inputs: list should have at most 1 item"),
    "input a number": (asked(inputs=[3]), "inputs.0: "),
    "name missing": (asked(tensor={"name": ...}), "inputs.0.name: field required"),
    "name a number": (asked(tensor={"name": 3}), "inputs.0.name: "),
    "another name": (asked(tensor={"name": "x" * 1000}), "one input, data"),
    "datatype": (asked(tensor={"datatype": "FP32"}), "datatype UINT8"),
    "datatype null": (asked(tensor={"datatype": None}), "inputs.0.datatype: "),
    "shape missing": (asked(tensor={"shape": ...}), "inputs.0.shape: field required"),
    "shape text": (asked(tensor={"shape": "1,3,4,3"}), "inputs.0.shape: "),
    "shape of text": (asked(tensor={"shape": ["1", "3", "4", "3"]}), "inputs.0.shape.0: "),
    "shape of floats": (asked(tensor={"shape": [1.0, 3, 4, 3]}), "inputs.0.shape.0: "),
    "shape of booleans": (asked(tensor={"shape": [True, 3, 4, 3]}), "inputs.0.shape.0: "),
    "shape null": (asked(tensor={"shape": [1, None, 4, 3]}), "inputs.0.shape.1: "),
    "no rank": (asked(tensor={"shape": []}), "must be [pictures, height, width, 3]"),
    "rank 3": (asked(tensor={"shape": [3, 4, 3]}), "must be [pictures, height, width, 3]"),
    "rank 5": (asked(tensor={"shape": [1, 1, 3, 4, 3]}), "must be [pictures, height, width, 3]"),
    "no picture": (asked(tensor={"shape": [0, 3, 4, 3]}), "at least one pixel"),
    "NCHW": (asked(tensor={"shape": [1, 3, 4, 4]}), "must be [pictures, height, width, 3]"),
    "no pixel": (asked(tensor={"shape": [1, 0, 4, 3], "data": []}), "at least one pixel"),
    "negative": (asked(tensor={"shape": [1, -3, -4, 3]}), "at least one pixel"),
    "overflow": (asked(tensor={"shape": [1, 2**70, 4, 3]}), "inputs.0.shape.1: must be an integer, and one of 64 bits"),
    "too few": (asked(tensor={"data": [1, 2, 3]}), "must be 36 integers"),
    "too many": (asked(tensor={"data": [1] * 37}), "must be 36 integers"),
    "wrong nesting": (asked(tensor={"data": [[1] * 36]}), "must be 36 integers"),
    "256": (asked(tensor={"data": [1] * 35 + [256]}), "must be 36 integers"),
    "below 0": (asked(tensor={"data": [1] * 35 + [-1]}), "must be 36 integers"),
    "a float": (asked(tensor={"data": [1] * 35 + [1.0]}), "must be 36 integers"),
    "a boolean": (asked(tensor={"data": [1] * 35 + [True]}), "must be 36 integers"),
    "a text": (asked(tensor={"data": [1] * 35 + ["1"]}), "must be 36 integers"),
    "a null": (asked(tensor={"data": [1] * 35 + [None]}), "must be 36 integers"),
    "NaN": (asked(tensor={"data": [1] * 35 + [float("nan")]}), "not JSON"),
    "data a text": (asked(tensor={"data": "1" * 36}), "data must be an array"),
    "data an object": (asked(tensor={"data": {}}), "data must be an array"),
    "no data": (asked(tensor={"data": ...}), "data has no values"),
    "data null": (asked(tensor={"data": None}), "data has no values"),
    "both": (asked(tensor={"parameters": {"binary_data_size": 36}}), "both data and binary_data_size"),
    "size without binary": (asked(tensor={"data": ..., "parameters": {"binary_data_size": 36}}), "binary_data_size must be"),
    "parameters a list": (asked(tensor={"parameters": []}), "inputs.0.parameters: "),
    "shared memory": (asked(tensor={"data": ..., "parameters": {"shared_memory_region": "r"}}), "shared_memory_region is not"),
    "parameters beside others": (
        asked(parameters={"shared_memory_offset": 1, "a": 1, "sequence_end": 1, "sequence_start": 1}), "sequence_start is not"
    ),
    "outputs an object": (asked(outputs={}), "outputs: "),
    "unknown output": (asked(None, "x" * 1000), "choose among classes, confidence, logits"),
    "output twice": (asked(None, "classes", "classes"), "twice"),
    "classification": (asked(outputs=[{"name": "classes", "parameters": {"classification": 3}}]), "classification is not"),
    "binary_data": (asked(outputs=[{"name": "classes", "parameters": {"binary_data": 1}}]), "binary_data must be true or false"),
    "binary_data_output": (asked(parameters={"binary_data_output": "yes"}), "binary_data_output must be"),
    "id a number": (asked(id=7), "id: "),
    "too deep": (asked(id=[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]), "deeper than 16"),
    "large": (asked(id="x" * 300_000), "more than 256 KiB of JSON"),
    "large array as id": (asked(id=[0] * 200_000), "a large array is taken as the data of the input only"),
    "large array as shape": (asked(tensor={"shape": [1] * 200_000}), "a large array is taken as the data of the input only"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests(both, name):
    body, text = WRONG[name]
    status, found = error(both, INFER, body)
    assert status == 400
    assert text in found
    assert "xxx" not in found


@pytest.mark.parametrize(
    "name",
    [
        "classification", "sequence_id", "sequence_start", "sequence_end",
        "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset",
    ],
)  # fmt: skip
def test_parameters_that_change_what_an_answer_means(both, name):
    expected = (400, f"the parameter {name} is not supported: send the request without it")
    parameters = {"parameters": {name: 0}}
    for request in (asked(**parameters), asked(tensor=parameters), asked(outputs=[{"name": "classes"} | parameters])):
        assert error(both, INFER, request) == expected


def test_null_counts_as_not_given(both):
    null = {"parameters": None}
    plain = call(both, INFER, asked(None, "classes"))
    outputs = [{"name": "classes"} | null]
    status, _, body = call(both, INFER, asked(id=None, outputs=outputs, tensor=null, **null))
    assert (status, body) == (200, plain[2])
    assert len(json.loads(call(both, INFER, asked(outputs=None))[2])["outputs"]) == 3
    assert call(both, "/v2/repository/index", {"ready": None})[0] == 200
    assert call(both, "/v2/repository/models/tiny/load", null)[0] == 200


def test_more_pixels_than_allowed(both):
    for shape in ([2, 800, 800, 3], [17, 1, 1, 3], [1, 1000, 1000, 3], [1, 2**62, 2**62, 3]):
        assert error(both, INFER, asked(tensor={"shape": shape}))[0] == 413


@pytest.mark.parametrize("length", ["", "-1", "+5", "1e2", "0x10", "²", "9" * 30, "100000", "12 12", "12, 12"])
def test_wrong_lengths_of_the_json(both, length):
    status, text = error(both, INFER, asked(), {HEADER: length.encode()})
    assert status == 400
    assert text.startswith(HEADER)


def test_binary_data_that_does_not_fit(both):
    def sent(extra: int, size: object = 36, **tensor) -> tuple[int, str]:
        head = json.dumps(asked(tensor={"data": ..., "parameters": {"binary_data_size": size}} | tensor)).encode()
        return error(both, INFER, head + bytes(extra), {HEADER: str(len(head))})

    for extra, size in ((35, 36), (37, 36), (36, 37), (0, 36), (36, "36"), (36, 36.0), (1, True), (36, -36), (36, [36])):
        assert sent(extra, size) == (400, f"binary_data_size must be the number of bytes that follow the JSON, {extra} here")
    assert "asks for 36 bytes" in sent(30, 30)[1]
    assert "no input has a binary_data_size" in sent(36, None, data=[1] * 36)[1]
    head = json.dumps(asked()).encode()
    assert error(both, INFER, head, {HEADER: str(len(head) - 1)})[0] == 400
    assert call(both, INFER, head, {HEADER: str(len(head))})[0] == 200
    connection = http.client.HTTPConnection(both.http)
    connection.putrequest("POST", INFER)
    for name, value in ((HEADER, len(head)), (HEADER, len(head)), ("content-length", len(head))):
        connection.putheader(name, str(value))
    connection.endheaders(head)
    assert connection.getresponse().status == 400


def test_unknown_models_and_methods(both):
    for path in ("/v2/models/other", "/v2/models/other/ready", "/v2/models/tiny/versions/1", "/v2/models/tiny/versions/1/ready"):
        assert call(both, path)[0] == 404
    for path in ("/v2/models/other/infer", "/v2/models/tiny/versions/1/infer", "/v2/repository/models/other/load"):
        assert error(both, path, asked())[0] == 404
    for method, path, allow in (
        ("DELETE", "/v2", {"GET", "HEAD"}),
        ("GET", INFER, {"POST"}),
        ("PUT", "/v2/repository/index", {"POST"}),
    ):
        status, headers, _ = call(both, path, method=method)
        assert (status, set(headers["allow"].split(", "))) == (405, allow)


def test_ready_is_about_new_work(both):
    both.service.draining = True
    try:
        for path in ("/v2/health/ready", "/v2/models/tiny/ready"):
            status, _, body = call(both, path)
            assert (status, json.loads(body)["ready"]) == (503, False)
        assert call(both, "/v2/health/live")[0] == 200
        assert call(both, INFER, asked())[0] == 503
        assert call(both, "/v2/repository/models/tiny/load", b"")[0] == 503
    finally:
        both.service.draining = False


def test_the_repository(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, random_weights(TINY, seed=1))
    with serving_protocol(service(path)) as both, tritonclient.http.InferenceServerClient(both.http) as client:
        first = both.service.models.get()
        expected = {"name": "tiny", "version": first.version, "state": "READY", "reason": ""}
        assert client.get_model_repository_index() == [expected]
        assert json.loads(call(both, "/v2/repository/index", {"ready": True})[2]) == [expected]
        save_weights(path, random_weights(TINY, seed=2))
        client.load_model("tiny")
        second = both.service.models.get()
        assert second.version != first.version
        assert client.get_model_metadata("tiny")["versions"] == [second.version]
        path.write_bytes(b"damaged")
        with pytest.raises(InferenceServerException, match="the version before goes on serving") as caught:
            client.load_model("tiny")
        assert caught.value.status() == "400"
        assert both.service.models.get() is second
        assert client.infer("tiny", triton_input(picture())).get_response()["model_version"] == second.version


def test_what_the_repository_refuses(both, client):
    version = both.service.models.get().version
    with pytest.raises(InferenceServerException, match="only reads again what it was started with"):
        client.load_model("tiny", config="{}")
    with pytest.raises(InferenceServerException, match="cannot be unloaded") as refusal:
        client.unload_model("tiny")
    assert refusal.value.status() == "403"
    with pytest.raises(InferenceServerException, match="no such model"):
        client.load_model("other")
    with pytest.raises(InferenceServerException, match="no such model"):
        client.unload_model("other")
    load = "/v2/repository/models/tiny/load"
    for body in (b"[]", b"x", b'{"parameters":[]}', b'{"parameters":{"a":1}}'):
        assert error(both, load, body)[0] == 400
    assert error(both, "/v2/repository/index", {"ready": 1})[0] == 400
    assert error(both, load, b" " * 70_000)[0] == 413
    assert error(both, load, b"{}", {"content-encoding": "gzip"})[0] == 415
    assert both.service.models.get().version == version


def test_a_small_body_that_does_not_come(both):
    connection = http.client.HTTPConnection(both.http, timeout=5)
    connection.putrequest("POST", "/v2/repository/models/tiny/load")
    connection.putheader("content-length", "10")
    connection.endheaders(b"{")
    assert connection.getresponse().status == 408


def test_a_model_is_loaded_while_all_workers_are_busy(weight_file):
    with serving_protocol(service(weight_file, workers=1, limits=Limits(queue=0))) as both:
        free = threading.Event()
        work = asyncio.run_coroutine_threadsafe(both.service.pool.run(free.wait), both.loop)
        try:
            while call(both, INFER, asked())[0] != 503:
                time.sleep(0.005)
            status, headers, _ = call(both, INFER, asked())
            assert (status, headers["retry-after"]) == (503, "1")
            for path, body in (
                ("/v2/repository/models/tiny/load", b"{}"),
                ("/v2/repository/index", b""),
                ("/v2/models/tiny", None),
            ):
                assert call(both, path, body)[0] == 200
        finally:
            free.set()
            work.result(10)


def test_openapi_tells_what_is_taken():
    document = api_document()
    operation = document["paths"]["/v2/models/{name}/infer"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "application/octet-stream"}
    problem = {"$ref": "#/components/schemas/Problem"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            statuses = set(operation["responses"])
            assert {"400", "403"} <= statuses, path
            for status in statuses - {"200"}:
                schema = operation["responses"][status]["content"]["application/json"]["schema"]
                assert schema == problem or (status in ("422", "503"))


def test_openapi_tells_what_comes_back():
    document = api_document()
    answered = document["paths"]["/v2/models/{name}/infer"]["post"]["responses"]["200"]
    assert set(answered["headers"]) == {"X-Model-Name", "X-Model-Version", HEADER}
    assert "404" not in document["paths"]["/v2/repository/index"]["post"]["responses"]
    for action in ("load", "unload"):
        assert "404" in document["paths"][f"/v2/repository/models/{{name}}/{action}"]["post"]["responses"]


def test_the_schema_allows_null_where_it_is_taken():
    document = api_document()
    request = document["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    tensor = request["properties"]["inputs"]["items"]
    output = request["properties"]["outputs"]["anyOf"][0]["items"]
    for schema, required in ((request, {"inputs"}), (tensor, {"name", "datatype", "shape"}), (output, {"name"})):
        assert set(schema["required"]) == required
        may_be_null = {name for name, part in schema["properties"].items() if {"type": "null"} in part.get("anyOf", ())}
        assert may_be_null == set(schema["properties"]) - required


def test_the_example_works(both):
    document = api_document()
    body = document["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]["application/json"]
    assert call(both, INFER, body["example"])[0] == 200
