"""The whole server: start, reload and end."""

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import cv2
import grpc
import httpx
import numpy as np
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from serving import serving

from icnet.base.errors import UsageError
from icnet.network.weights import random_weights, save_weights
from icnet.runtime.segmenter import Segmenter
from icnet.serve.limits import Limits
from icnet.serve.options import ServerOptions
from load.program import program, until


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from tiny_network import TINY

    folder = tmp_path_factory.mktemp("models")
    for number in (1, 2):
        save_weights(folder / f"{number}.safetensors", random_weights(TINY, seed=number))
    return folder / "1.safetensors"


FRAME = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
PNG = cv2.imencode(".png", FRAME)[1].tobytes()


def decoded(png: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


class Upload:
    """A request of which a part is sent now and the rest later."""

    def __init__(self, url: str, body: bytes) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=20)
        head = f"POST /v1/segment HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.rest = body[100:]
        self.socket.sendall(head.encode() + body[:100])

    def finish(self) -> tuple[int, bytes]:
        """Send the rest; gives status and body."""
        self.socket.sendall(self.rest)
        return self.answer()

    def answer(self) -> tuple[int, bytes]:
        with self.socket, self.socket.makefile("rb") as file:
            status = int(file.readline().split()[1])
            length = 0
            while line := file.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            return status, file.read(length)


def test_sigterm_answers_what_is_in_flight_and_ends_with_0(model, tmp_path):
    with program(tmp_path, "--model", str(model)) as server:
        assert httpx.get(f"{server.http}/v2/health/ready").status_code == 200
        uploads = [Upload(server.http, PNG) for _ in range(8)]
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        assert httpx.get(f"{server.http}/v2/health/ready").status_code == 503
        assert httpx.get(f"{server.http}/v2/health/live").status_code == 200
        refused = httpx.post(f"{server.http}/v1/segment", content=PNG)
        assert (refused.status_code, bool(refused.headers["retry-after"])) == (503, True)
        time.sleep(1)
        expected = Segmenter(model)(FRAME).classes
        for upload in uploads:
            status, body = upload.finish()
            assert status == 200
            assert np.array_equal(decoded(body), expected)
        assert server.process.wait(10) == 0
        events = [entry["event"] for entry in server.events()]
    assert events[0] == "started"
    assert events.index("draining") < events.index("ended")


def test_what_never_ends_is_cut_and_told(model, tmp_path):
    with program(tmp_path, "--model", str(model), "--no-grpc", "--drain-seconds", "1") as server:
        upload = Upload(server.http, PNG)
        time.sleep(0.2)
        start = time.monotonic()
        assert server.end(signal.SIGINT) == 1
        assert time.monotonic() - start < 8
        upload.socket.close()
        assert "cut" in [entry["event"] for entry in server.events()]


def test_the_process_ends_whatever_its_threads_do(model, tmp_path):
    stuck = """
import time
from icnet.serve.pool import Pool
run = Pool.run_prepared
Pool.run_prepared = lambda self, prepare, work: run(self, prepare, lambda _: time.sleep(60))
"""
    with program(tmp_path, "--model", str(model), "--drain-seconds", "1", before=stuck) as server:
        upload = Upload(server.http, PNG)
        upload.socket.sendall(upload.rest)
        time.sleep(0.5)
        start = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        status, body = upload.answer()
        assert (status, b"the server ended" in body) == (503, True)
        assert server.process.wait(10) == 1
        assert time.monotonic() - start < 4  # 3, and what a busy machine takes


def test_connections_leave_descriptors_for_the_rest(model, tmp_path):
    settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    with program(tmp_path, "--model", str(model), open_files=400) as server, contextlib.ExitStack() as stack:
        host, port = server.grpc.split(":")
        for _ in range(400):
            stack.enter_context(socket.create_connection((host, int(port)))).sendall(settings)
            stack.enter_context(socket.create_connection(server.address))
        time.sleep(1.5)  # then those without a use make room
        assert httpx.get(f"{server.http}/v2/health/live").status_code == 200
        assert [line["connections"] for line in server.events("fewer_connections")] == [68]
        assert not server.events("cannot_accept")


def test_a_second_signal_ends_at_once(model, tmp_path):
    with program(tmp_path, "--model", str(model), "--no-grpc") as server:
        upload = Upload(server.http, PNG)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.end(signal.SIGTERM) == -signal.SIGTERM
        upload.socket.close()


def test_sighup_reloads_and_a_damaged_file_leaves_the_old_model(model, tmp_path):
    served = tmp_path / "served.safetensors"
    shutil.copy(model, served)

    def answer(client) -> tuple[str, bytes]:
        got = client.post("/v1/segment", content=PNG)
        assert got.status_code == 200
        return got.headers["x-model-version"], got.content

    def reload(server, client, name: str) -> list[str]:
        seen = len(server.events())
        os.replace(tmp_path / name, served)
        server.process.send_signal(signal.SIGHUP)
        for _ in range(200):
            answer(client)
            events = [entry for entry in server.events()[seen:] if "reloaded" in entry["event"]]
            if events:
                return [entry["event"] for entry in events]
        return []

    with program(tmp_path, "--model", str(served)) as server, httpx.Client(base_url=server.http) as client:
        first = answer(client)
        shutil.copy(model.with_name("2.safetensors"), tmp_path / "second")
        assert reload(server, client, "second") == ["reloaded"]
        second = answer(client)
        assert first[0] != second[0]
        assert np.array_equal(decoded(second[1]), Segmenter(model.with_name("2.safetensors"))(FRAME).classes)
        (tmp_path / "damaged").write_bytes(model.read_bytes()[:500])
        assert reload(server, client, "damaged") == ["not_reloaded"]
        assert answer(client) == second
        metrics = client.get("/metrics").text
        assert f'version="{second[0]}"' in metrics
        assert f'version="{first[0]}"' not in metrics
        assert 'result="failed"} 1.0' in metrics
        assert server.end() == 0


def test_signals_are_taken_after_a_client_has_loaded_a_model(model, tmp_path):
    """OpenVINO once took the main thread's stack for signals with it when another thread dropped the old model."""
    with program(tmp_path, "--model", str(model), "--no-grpc") as server:
        assert httpx.post(f"{server.http}/v1/segment", content=PNG).status_code == 200
        name = httpx.post(f"{server.http}/v2/repository/index").json()[0]["name"]
        assert httpx.post(f"{server.http}/v2/repository/models/{name}/load").status_code == 200
        upload = Upload(server.http, PNG)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert upload.finish()[0] == 200
        assert server.process.wait(10) == 0
        assert [entry["event"] for entry in server.events()].count("reloaded") == 1


def test_metrics_tell_stages_requests_and_refusals(model):
    with serving(model) as addresses, httpx.Client(base_url=addresses.http) as client:
        client.post("/v1/segment", content=PNG)
        client.post("/v1/segment", content=b"no picture")
        client.get("/nothing/like/it")
        text = client.get("/metrics").text
    for stage in ("read", "queue", "decode", "segment", "encode"):
        assert f'icnet_stage_seconds_count{{stage="{stage}"}}' in text
    assert 'icnet_requests_total{protocol="http",route="/v1/segment",status="200"} 1.0' in text
    assert 'icnet_rejections_total{protocol="http",reason="bad_request"} 1.0' in text
    assert "nothing" not in text


def test_the_schema_names_no_answer_that_is_never_given(model):
    with serving(model) as addresses, httpx.Client(base_url=addresses.http) as client:
        schema = client.get("/openapi.json").json()
        assert "422" not in json.dumps(schema)
        for path, operations in schema["paths"].items():
            for operation in operations.values():
                free = path in ("/v2/health/live", "/v2/health/ready")
                assert operation.get("security", schema["security"]) == ([] if free else [{}, {"bearer": []}, {"basic": []}])
                assert ("401" in operation["responses"]) is not free
        assert list(schema["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]
        wrong = client.get("/v1/segment")
        assert (wrong.status_code, wrong.json()) == (405, {"error": "this address takes POST only"})


def test_a_token_is_asked_for_on_everything_but_health(model):
    with serving(model, token="s3cret") as addresses, httpx.Client(base_url=addresses.http) as client:
        for path in ("/", "/metrics", "/openapi.json", "/v2", "/nothing"):
            refused = client.get(path)
            assert refused.status_code == 401, path
            assert "error" in refused.json()
        assert client.post("/v1/segment", content=PNG).status_code == 401
        assert client.get("/v2/health/ready").status_code == 200
        right = {"authorization": "Bearer s3cret"}
        assert client.post("/v1/segment", content=PNG, headers=right).status_code == 200
        assert client.get("/", auth=("anybody", "s3cret")).status_code == 200


def test_tls_for_http_and_grpc(model, tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with serving(model, tls=(tmp_path / "cert.pem", tmp_path / "key.pem")) as addresses:
        assert addresses.http.startswith("https://")
        trust = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        with httpx.Client(base_url=addresses.http, verify=trust) as client:
            answer = client.post("/v1/segment", content=PNG)
            assert answer.status_code == 200
            assert "strict-transport-security" in answer.headers
        import tritonclient.grpc

        client = tritonclient.grpc.InferenceServerClient(addresses.grpc, ssl=True, root_certificates=str(tmp_path / "ca.pem"))
        assert client.is_server_live()
        client.close()
        with pytest.raises(grpc.FutureTimeoutError), grpc.insecure_channel(addresses.grpc) as channel:
            grpc.channel_ready_future(channel).result(0.5)


def test_addresses_that_need_a_token_or_are_taken(model):
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org"):
        with pytest.raises(UsageError, match="--token-file"):
            ServerOptions(host=host)
        ServerOptions(host=host, token="x")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(UsageError, match="cannot listen"), serving(model, port=taken.getsockname()[1]):
            pass
        with pytest.raises(UsageError, match="gRPC"), serving(model, grpc_port=taken.getsockname()[1]):
            pass
    with socket.socket() as bound:  # as another server that is just starting
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(UsageError, match="gRPC"), serving(model, port=port, grpc_port=port):
            pass


@pytest.mark.parametrize("host", ["127.0.0.2", "::ffff:127.0.0.1", "[::1]", "localhost"])
def test_a_loopback_server_answers_under_its_own_address(model, host):
    with serving(model, host=host, grpc_port=None) as addresses:
        assert httpx.get(f"{addresses.http}/v2/health/live").status_code == 200


def test_many_refused_clients_do_not_hold_up_the_end(model, tmp_path):
    with program(tmp_path, "--model", str(model), "--no-grpc") as server:
        over, answers = threading.Event(), []

        def post() -> None:
            with httpx.Client(base_url=server.http, verify=False) as client:  # a context for each would take seconds
                while not over.is_set():
                    try:
                        answers.append(client.post("/v1/segment", content=PNG).status_code)
                    except httpx.TransportError:
                        time.sleep(0.01)

        with ThreadPoolExecutor(12) as pool:
            for _ in range(12):
                pool.submit(post)
            try:
                until(lambda: 200 in answers, 30)
                start = time.monotonic()
                assert server.end() == 0
                assert time.monotonic() - start < 8
            finally:
                over.set()
        assert set(answers) == {200, 503}


def test_calls_that_are_cut_are_told(model, tmp_path):
    with program(tmp_path, "--model", str(model), "--drain-seconds", "1") as server:
        with grpc.insecure_channel(server.grpc) as channel:
            infer = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
            grpc.channel_ready_future(channel).result(10)
            over = threading.Event()
            call = infer.future((b"" for _ in range(1) if over.wait()), timeout=30)  # a message that never comes
            time.sleep(0.5)
            try:
                assert server.end() == 1
                assert call.code() is grpc.StatusCode.UNAVAILABLE
            finally:
                over.set()
        assert server.events()[-1] | {"time": 0} == {"time": 0, "level": "info", "event": "ended", "complete": False}


def test_an_encrypted_key_is_refused_without_a_question(model, tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    (tmp_path / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with pytest.raises(UsageError, match="encrypted"), serving(model, tls=(tmp_path / "cert.pem", tmp_path / "key.pem")):
        pass


def test_limits_reach_the_routes(model):
    limits = Limits(pixels=1000, body_bytes=20_000, json_depth=3)
    with serving(model, limits=limits) as addresses, httpx.Client(base_url=addresses.http) as client:
        small = cv2.imencode(".png", FRAME[:16, :16])[1].tobytes()
        assert client.post("/v1/segment", content=small).status_code == 200
        large = cv2.imencode(".png", np.zeros((96, 128, 3), np.uint8))[1].tobytes()
        assert client.post("/v1/segment", content=large).status_code == 413
        assert client.post("/v1/segment", content=bytes(30_000)).status_code == 413
        deep = client.post("/v2/models/x/infer", content=b"[" * 9 + b"]" * 9, headers={"content-type": "application/json"})
        assert deep.status_code in (400, 404)
