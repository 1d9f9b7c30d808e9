import asyncio
import contextlib
import json
import logging
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import numpy as np
import psutil
import pytest
import tritonclient.grpc
import trustme
from protocol import infer_request, malformed_requests, picture, serving_protocol
from serving import service
from tiny_network import TINY
from tritonclient.utils import InferenceServerException

from icnet.network.weights import random_weights, save_weights
from icnet.serve.errors import Overloaded
from icnet.serve.inference.messages import SERVICE, message_class
from icnet.serve.inference.servicer import grpc_server
from icnet.serve.limits import Limits

UNBOUNDED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@pytest.fixture(scope="module")
def both(weight_file):
    limits = Limits(pixels=300_000, body_bytes=1 << 20, body_seconds=0.5)
    with serving_protocol(service(weight_file, limits=limits)) as both:
        yield both


@pytest.fixture(scope="module")
def client(both):
    with tritonclient.grpc.InferenceServerClient(both.grpc) as client:
        yield client


@pytest.fixture(scope="module")
def channel(both):
    with grpc.insecure_channel(both.grpc, options=UNBOUNDED) as channel:
        yield channel


def outcome(channel, message: bytes, method: str = "ModelInfer", **how) -> tuple[grpc.StatusCode, str, dict]:
    """Code, text and trailing metadata."""
    try:
        channel.unary_unary(f"/{SERVICE}/{method}")(message, timeout=20, **how)
    except grpc.RpcError as error:
        return error.code(), error.details(), dict(error.trailing_metadata())
    return grpc.StatusCode.OK, "", {}


def metrics(both) -> str:
    return both.service.metrics.page().decode()


Code = grpc.StatusCode


def triton_input(data: np.ndarray) -> list[tritonclient.grpc.InferInput]:
    return [tritonclient.grpc.InferInput("data", data.shape, "UINT8").set_data_from_numpy(data)]


def test_what_triton_clients_ask_first(both, client):
    served = both.service.models.get()
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", served.version)
    for name, version in (("other", ""), ("tiny", "1"), ("", "")):
        with pytest.raises(InferenceServerException) as caught:
            client.is_model_ready(name, version)
        assert caught.value.status() == "StatusCode.NOT_FOUND"
    assert client.get_server_metadata().name == "icnet"
    metadata = client.get_model_metadata("tiny")
    assert (metadata.name, metadata.platform, list(metadata.versions)) == ("tiny", "icnet_openvino", [served.version])
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in [*metadata.inputs, *metadata.outputs]] == [
        ("data", "UINT8", [-1, -1, -1, 3]),
        ("classes", "UINT8", [-1, -1, -1]),
        ("confidence", "UINT8", [-1, -1, -1]),
        ("logits", "FP32", [-1, 12, 24, 32]),
    ]


@pytest.mark.parametrize("size_hw", [(60, 80), (96, 128), (1, 1), (301, 7)])
def test_outputs_are_the_segmenters_own(both, client, size_hw):
    data, segmenter = picture(size_hw, seed=3), both.service.models.get().segmenter
    result = client.infer("tiny", triton_input(data), request_id="é 7")
    assert [output.name for output in result.get_response().outputs] == ["classes", "confidence", "logits"]
    assert (result.get_response().id, result.get_response().model_version) == ("é 7", both.service.models.get().version)
    expected = segmenter(data[0], confidence=True)
    assert np.array_equal(result.as_numpy("classes"), expected.classes[np.newaxis])
    assert np.array_equal(result.as_numpy("confidence"), expected.confidence[np.newaxis])
    if size_hw == segmenter.engine.size_hw:
        assert np.array_equal(result.as_numpy("logits"), segmenter.engine.infer(data))
    outputs = [tritonclient.grpc.InferRequestedOutput(name) for name in ("confidence", "classes")]
    result = client.infer("tiny", triton_input(data), outputs=outputs, compression_algorithm="gzip")
    assert [output.name for output in result.get_response().outputs] == ["confidence", "classes"]
    assert np.array_equal(result.as_numpy("classes"), expected.classes[np.newaxis])


def test_several_pictures_at_a_time(both, client):
    data, segmenter = np.concatenate([picture((33, 20), seed=seed) for seed in range(3)]), both.service.models.get().segmenter
    result = client.infer("tiny", triton_input(data))
    assert result.as_numpy("logits").shape == (3, 12, 24, 32)
    for number, frame in enumerate(data):
        assert np.array_equal(result.as_numpy("classes")[number], segmenter(frame).classes)


def test_configuration_and_statistics(both, client):
    served = both.service.models.get()
    config = client.get_model_config("tiny", served.version, as_json=True)["config"]
    assert (config["name"], config["max_batch_size"]) == ("tiny", 16)
    assert config["input"] == [{"name": "data", "data_type": "TYPE_UINT8", "format": "FORMAT_NHWC", "dims": ["-1", "-1", "3"]}]
    assert [one["data_type"] for one in config["output"]] == ["TYPE_UINT8", "TYPE_UINT8", "TYPE_FP32"]
    before = client.get_inference_statistics().model_stats[0]
    client.infer("tiny", triton_input(picture()))
    (after,) = client.get_inference_statistics("tiny", served.version).model_stats
    assert (after.name, after.version, after.inference_count) == ("tiny", served.version, before.inference_count + 1)
    assert after.inference_stats.success.count == before.inference_stats.success.count + 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    with pytest.raises(InferenceServerException, match="no such model"):
        client.get_inference_statistics("other")


def test_asynchronous_inference(both, client):
    results = queue.Queue()
    for seed in range(4):
        client.async_infer(
            "tiny", triton_input(picture(seed=seed)), lambda result, error: results.put(result or error), request_id=str(seed)
        )
    for _ in range(4):
        result = results.get(timeout=10)
        data = picture(seed=int(result.get_response().id))
        assert np.array_equal(result.as_numpy("classes")[0], both.service.models.get().segmenter(data[0]).classes)


@pytest.mark.parametrize("field", ["uint_contents", "int_contents"])
def test_typed_contents(both, channel, field):
    data = picture()
    request = infer_request("tiny", data, "classes")
    del request.raw_input_contents[:]
    getattr(request.inputs[0].contents, field).extend(data.ravel().tolist())
    answer = channel.unary_unary(f"/{SERVICE}/ModelInfer")(request.SerializeToString())
    classes = message_class("ModelInferResponse").FromString(answer).raw_output_contents[0]
    assert classes == both.service.models.get().segmenter(data[0]).classes.tobytes()
    getattr(request.inputs[0].contents, field)[5] = 256
    assert outcome(channel, request.SerializeToString())[0] is Code.INVALID_ARGUMENT


def test_values_in_one_form_only(channel):
    def refused(change) -> str:
        request = infer_request("tiny", picture((3, 4)), "classes")
        change(request)
        code, text, _ = outcome(channel, request.SerializeToString())
        assert code is Code.INVALID_ARGUMENT
        return text

    one_form = "there must be one of raw_input_contents for the one input, and then no contents"
    assert refused(lambda request: request.raw_input_contents.append(b"")) == one_form
    for count in (1, 36):
        assert refused(lambda request, count=count: request.inputs[0].contents.uint_contents.extend([1] * count)) == one_form
    assert "must have 36 integers" in refused(lambda request: request.raw_input_contents.pop())
    assert "not 2" in refused(lambda request: request.inputs.append(request.inputs[0]))
    assert "not 0" in refused(lambda request: request.inputs.pop())


def test_malformed_requests_are_the_clients_mistake(channel):
    codes = Counter(outcome(channel, message)[0] for message in malformed_requests("tiny", 200))
    assert set(codes) <= {Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.OK}, codes
    assert codes[Code.INVALID_ARGUMENT] > 100


def test_right_requests_are_the_start_of_malformed_ones(channel):
    assert outcome(channel, infer_request("tiny", picture((3, 4)), "classes").SerializeToString())[0] is Code.OK


def test_messages_that_are_none(channel):
    for method in ("ModelInfer", "ModelReady", "ModelMetadata", "RepositoryIndex", "RepositoryModelLoad"):
        assert outcome(channel, b"\xff\xff\xff", method)[0] is Code.INVALID_ARGUMENT
    assert outcome(channel, b"\x0a\x02\xff\xff", "ModelReady")[:2] == (
        Code.INVALID_ARGUMENT,
        "the message is no ModelReadyRequest",
    )
    assert outcome(channel, b"\x12\x04tiny\x1a\x80\x80\x20" + bytes(1 << 19), "RepositoryModelLoad")[0] is Code.INVALID_ARGUMENT
    assert outcome(channel, b"", "Nothing")[0] is Code.UNIMPLEMENTED
    empty = channel.stream_unary(f"/{SERVICE}/ModelInfer")
    with pytest.raises(grpc.RpcError, match="the call has no message"):
        empty(iter([]), timeout=20)


def test_too_large(both, channel):
    wide = infer_request("tiny", picture((3, 4)))
    wide.inputs[0].shape[:] = [1, 2**40, 2**40, 3]
    assert outcome(channel, wide.SerializeToString())[:2] == (
        Code.INVALID_ARGUMENT, "the picture has more than 300000 pixels, the limit here: make it smaller"
    )  # fmt: skip
    bodies = both.service.limits.body_bytes
    assert outcome(channel, bytes(bodies + (1 << 17)))[0] is Code.RESOURCE_EXHAUSTED
    # What HTTP takes is taken: a body's worth of values, and beside them the rest of the message.
    most = infer_request("tiny", np.zeros((1, 1, bodies // 3, 3), np.uint8)).SerializeToString()
    assert len(most) > bodies
    assert "300000 pixels" in outcome(channel, most)[1]


@pytest.mark.parametrize("method", ["ServerMetadata", "ModelReady", "ModelMetadata", "RepositoryIndex", "RepositoryModelLoad"])
def test_small_messages_are_small(both, channel, method):
    """They are read in the event loop, where many tiny parts would take long."""
    for count in (2049, 1 << 17):
        code, text, _ = outcome(channel, b"\x1a\0" * count, method)
        assert (code, text) == (Code.INVALID_ARGUMENT, "a message of this kind may have 4096 bytes at most")
    assert outcome(channel, b"\xd2\x09\0" * 1365, method)[0] is not Code.INTERNAL
    assert outcome(channel, b"\x0a\x04tiny" + b"\xd2\x09\0" * 1363, "ModelReady")[0] is Code.OK
    assert 'icnet_rejections_total{protocol="grpc",reason="too_large"}' in metrics(both)


@contextmanager
def connection(address: str, *options) -> Iterator[grpc.Channel]:
    """One that no other channel shares."""
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1), *UNBOUNDED, *options]) as channel:
        yield channel


@contextmanager
def idle_calls(channel: grpc.Channel, count: int) -> Iterator[list]:
    """Calls that send nothing, and that the server has taken."""
    done = threading.Event()

    def nothing():
        done.wait(30)
        yield from ()

    calls = [channel.stream_unary(f"/{SERVICE}/ModelInfer").future(nothing(), timeout=30) for _ in range(count)]
    try:
        for call in calls:
            call.initial_metadata()
        yield calls
    finally:
        for call in calls:
            call.cancel()
        done.set()


def within(seconds: float, true: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture(scope="module")
def few(weight_file):
    """At most three calls, and memory for few messages; calls may take their time."""
    limits = Limits(connections=3, body_bytes=1 << 20, decompressed_bytes=1 << 20, buffered_bytes=2 << 20)
    with serving_protocol(service(weight_file, limits=limits, workers=1)) as few:
        yield few


def test_calls_that_send_nothing_keep_nobody_waiting(few):
    with connection(few.grpc) as channel, connection(few.grpc) as other, idle_calls(channel, 2):
        begun = time.monotonic()
        assert outcome(other, infer_request("tiny", picture()).SerializeToString())[0] is Code.OK
        assert outcome(other, b"\x0a\x04tiny", "ModelReady")[0] is Code.OK
        assert time.monotonic() - begun < 5
        assert few.service.budget.held_bytes == 0


def test_as_many_calls_as_allowed(few, caplog):
    caplog.set_level(logging.INFO, "icnet.serve")
    ready = b"\x0a\x04tiny"
    with connection(few.grpc) as channel, connection(few.grpc) as other:
        with idle_calls(channel, 3):
            for method in ("ModelReady", "ModelInfer", "ServerMetadata"):
                code, text, trailing = outcome(other, ready, method)
                assert (code, trailing["retry-after"]) == (Code.RESOURCE_EXHAUSTED, "1")
                assert text == "as many calls as the server takes at one time are in progress: try again in a moment"
            for method in ("ServerLive", "ServerReady"):
                assert outcome(other, b"", method)[0] is Code.OK
        assert within(5, lambda: outcome(other, ready, "ModelReady")[0] is Code.OK)
        for _ in range(5):  # whatever becomes of a call, it counts no more
            assert outcome(other, b"\xff", "ModelReady")[0] is Code.INVALID_ARGUMENT
        with idle_calls(channel, 3):
            pass
        assert within(5, lambda: outcome(other, ready, "ModelReady")[0] is Code.OK)
    assert 'icnet_rejections_total{protocol="grpc",reason="overloaded"}' in metrics(few)
    statuses = [record.fields["status"] for record in caplog.records if record.getMessage() == "request"]
    assert statuses.count("RESOURCE_EXHAUSTED") >= 3


def test_a_call_counts_until_its_answer_is_taken(weight_file):
    request = infer_request("tiny", picture((2000, 2500)), "classes").SerializeToString()
    ready = b"\x0a\x04tiny"
    with (
        serving_protocol(service(weight_file, limits=Limits(connections=1))) as both,
        connection(both.grpc, ("grpc.http2.bdp_probe", 0)) as channel,  # which would let the client take more unread
        connection(both.grpc) as other,
    ):
        unread = channel.unary_stream(f"/{SERVICE}/ModelInfer")(request, timeout=20)  # this client reads when it is asked to
        unread.initial_metadata()
        assert within(10, lambda: 'route="/inference.GRPCInferenceService/ModelInfer",status="OK"' in metrics(both))
        assert outcome(other, ready, "ModelReady")[0] is Code.RESOURCE_EXHAUSTED
        assert len(next(unread)) > 2000 * 2500
        assert within(5, lambda: outcome(other, ready, "ModelReady")[0] is Code.OK)


def test_messages_count_against_the_memory_for_bodies(few):
    message = infer_request("tiny", picture((499, 600)), "classes").SerializeToString()
    free = threading.Event()
    work = asyncio.run_coroutine_threadsafe(few.service.pool.run(free.wait), few.loop)
    try:
        with connection(few.grpc) as channel:
            pending = [channel.unary_unary(f"/{SERVICE}/ModelInfer").future(message, timeout=20) for _ in range(2)]
            assert within(5, lambda: few.service.budget.held_bytes == 2 * len(message))
            code, text, trailing = outcome(channel, message)
            assert (code, trailing["retry-after"]) == (Code.RESOURCE_EXHAUSTED, "1")
            assert "fill the memory" in text
            assert few.service.budget.held_bytes == 2 * len(message)
            free.set()
            assert [call.code() for call in pending] == [Code.OK] * 2
            assert within(5, lambda: few.service.budget.held_bytes == 0)
    finally:
        free.set()
        work.result(10)


def test_one_connection_has_not_all_calls(weight_file):
    with (
        serving_protocol(service(weight_file)) as both,
        connection(both.grpc) as channel,
        connection(both.grpc) as other,
        idle_calls(channel, 64) as calls,
    ):
        live = channel.unary_unary(f"/{SERVICE}/ServerLive").future(b"", timeout=20)
        assert outcome(other, b"", "ServerLive")[0] is Code.OK
        time.sleep(0.3)
        assert not live.done()  # the client waits until another call has ended
        calls[0].cancel()
        assert live.code() is Code.OK


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_a_bomb_is_not_inflated(channel):
    bomb, peak, done = bytes(100 << 20), [resident_bytes()], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            peak.append(resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    code, *_ = outcome(channel, bomb, compression=grpc.Compression.Gzip)
    done.set()
    watcher.join()
    assert code is Code.RESOURCE_EXHAUSTED
    # The client holds the message once more while it compresses.
    assert max(peak) - peak[0] < 1.7 * len(bomb)


def frame(kind: int, data: bytes = b"", stream: int = 0) -> bytes:
    """Of HTTP/2."""
    return len(data).to_bytes(3, "big") + bytes([kind, 0]) + stream.to_bytes(4, "big") + data


def test_headers_that_never_end(weight_file, monkeypatch):
    monkeypatch.setattr("icnet.serve.inference.servicer._AGE_SECONDS", 1)
    monkeypatch.setattr("icnet.serve.inference.servicer._LAST_CALLS_SECONDS", 0.5)
    post, more = b"\x83\x86\x44\x02/a\x41\x01a", b"\x00\x01a\x7f\x81\x07" + b"b" * 1024
    with serving_protocol(service(weight_file)) as both, tritonclient.grpc.InferenceServerClient(both.grpc) as client:
        host, port = both.grpc.split(":")
        with socket.create_connection((host, int(port)), timeout=5) as endless:
            endless.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4) + frame(1, post, 1))
            end, process = time.monotonic() + 8, psutil.Process()
            before = peak = process.memory_info().rss
            with contextlib.suppress(ConnectionError):
                while time.monotonic() < end:
                    endless.sendall(frame(9, more, 1) * 50)
                    peak = max(peak, process.memory_info().rss)
                    assert client.is_server_live()  # on its second or third connection by then
            assert time.monotonic() < end
            assert peak - before < 64 << 20


def test_a_message_that_does_not_come(channel):
    released = threading.Event()

    def late():
        released.wait(10)
        yield b""

    slow = channel.stream_unary(f"/{SERVICE}/ModelInfer").future(late(), timeout=10)
    assert slow.code() is Code.DEADLINE_EXCEEDED
    assert slow.details() == "the body did not arrive within 0.5 seconds"
    released.set()


def test_refused_before_the_message_is_read(both, channel, monkeypatch):
    def full() -> None:
        raise Overloaded("no room: try again")

    monkeypatch.setattr(both.service.pool, "check", full)
    never = threading.Event()

    def unsent():
        never.wait(10)
        yield b""

    call = channel.stream_unary(f"/{SERVICE}/ModelInfer").future(unsent(), timeout=10)
    assert (call.code(), call.details()) == (Code.RESOURCE_EXHAUSTED, "no room: try again")
    assert dict(call.trailing_metadata())["retry-after"] == "1"
    never.set()
    assert outcome(channel, message_class("ModelReadyRequest")(name="tiny").SerializeToString(), "ModelReady")[0] is Code.OK
    monkeypatch.undo()
    monkeypatch.setattr(both.service, "draining", True)
    code, _, trailing = outcome(channel, b"")
    assert (code, trailing["retry-after"]) == (Code.UNAVAILABLE, "5")
    assert message_class("ServerReadyResponse").FromString(channel.unary_unary(f"/{SERVICE}/ServerReady")(b"")).ready is False


GUARDED = [
    "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer", "RepositoryIndex", "RepositoryModelLoad",
    "RepositoryModelUnload",
]  # fmt: skip


def test_the_token(both, channel, monkeypatch):
    monkeypatch.setattr(both.service, "token", "sesame")
    for method in GUARDED:
        for authorization in ("", "Bearer other", "sesame", "Basic !!"):
            assert outcome(channel, b"", method, metadata=[("authorization", authorization)])[0] is Code.UNAUTHENTICATED
        assert outcome(channel, b"", method)[0] is Code.UNAUTHENTICATED
        assert outcome(channel, b"", method, metadata=[("authorization", "Bearer sesame")])[0] is not Code.UNAUTHENTICATED
    for method in ("ServerLive", "ServerReady"):
        assert outcome(channel, b"", method)[0] is Code.OK


def test_the_repository(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, random_weights(TINY, seed=1))
    with serving_protocol(service(path)) as both, tritonclient.grpc.InferenceServerClient(both.grpc) as client:
        first = both.service.models.get()
        (state,) = client.get_model_repository_index().models
        assert (state.name, state.version, state.state) == ("tiny", first.version, "READY")
        save_weights(path, random_weights(TINY, seed=2))
        client.load_model("tiny")
        second = both.service.models.get()
        assert second.version != first.version
        path.write_bytes(b"damaged")
        refused = {
            "the version before goes on serving": lambda: client.load_model("tiny"),
            "only reads again": lambda: client.load_model("tiny", config="{}"),
            "no such model": lambda: client.load_model("other"),
            "cannot be unloaded": lambda: client.unload_model("tiny"),
        }
        for text, call in refused.items():
            with pytest.raises(InferenceServerException, match=text):
                call()
        assert both.service.models.get() is second


def test_what_is_logged_and_counted(both, channel, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "icnet.serve")
    request = infer_request("tiny", picture((3, 4)), "classes").SerializeToString()
    infer = channel.unary_unary(f"/{SERVICE}/ModelInfer")
    _, call = infer.with_call(request, metadata=[("x-request-id", "me-1")])
    assert dict(call.initial_metadata())["x-request-id"] == "me-1"
    outcome(channel, b"\xff", metadata=[("x-request-id", "not good")])
    pending = channel.stream_unary(f"/{SERVICE}/ModelInfer").future(iter(lambda: time.sleep(0.3) or b"", None), timeout=10)
    time.sleep(0.1)
    pending.cancel()
    time.sleep(0.3)

    def broken(*_):
        raise ZeroDivisionError("a secret")

    with monkeypatch.context() as patch:
        patch.setattr(both.service.models, "get", broken)
        code, text, _ = outcome(channel, request)
    assert code is Code.INTERNAL
    assert "secret" not in text
    # A client may know before the server has noted it.
    assert within(5, lambda: sum(record.getMessage() == "request" for record in caplog.records) >= 4)
    events = [record for record in caplog.records if record.name == "icnet.serve"]
    failed = [record for record in events if record.getMessage() == "error"]
    assert [record.exc_info[0] for record in failed] == [ZeroDivisionError]
    fields = [record.fields for record in events if record.getMessage() == "request"]
    assert [field["status"] for field in fields] == ["OK", "INVALID_ARGUMENT", "CANCELLED", "INTERNAL"]
    assert fields[0]["request_id"] == "me-1"
    assert (fields[0]["model"], fields[0]["client"], fields[0]["protocol"]) == ("tiny", "127.0.0.1", "grpc")
    assert fields[1]["request_id"].isalnum()
    assert fields[3]["request_id"] in text
    json.dumps(fields)
    route = f"/{SERVICE}/ModelInfer"
    page = metrics(both)
    for status in ("OK", "INVALID_ARGUMENT", "CANCELLED", "INTERNAL"):
        assert f'icnet_requests_total{{protocol="grpc",route="{route}",status="{status}"}}' in page
    assert 'icnet_rejections_total{protocol="grpc",reason="bad_request"}' in page


def test_over_tls_and_on_a_taken_port(weight_file):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    key, chain = certificate.private_key_pem.bytes(), b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    served = service(weight_file)

    async def main() -> bytes:
        server, port = grpc_server(served, "127.0.0.1:0", credentials=grpc.ssl_server_credentials([(key, chain)]))
        await server.start()
        with pytest.raises(RuntimeError):
            grpc_server(served, f"127.0.0.1:{port}")
        roots = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        async with grpc.aio.secure_channel(f"localhost:{port}", roots) as channel:
            answer = await channel.unary_unary(f"/{SERVICE}/ServerLive")(b"")
        await server.stop(None)
        return answer

    assert message_class("ServerLiveResponse").FromString(asyncio.run(main())).live
    served.pool.close()
