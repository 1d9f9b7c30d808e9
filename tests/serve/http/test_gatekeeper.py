"""What holds for every HTTP request, seen from a client, the metrics and the log."""

import asyncio
import base64
import contextlib
import io
import json
import logging

import httpx
import pytest
from listening import bare_service, listening, read_answer, until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.testclient import TestClient

from icnet.serve.errors import Overloaded, Refused
from icnet.serve.http.body import received
from icnet.serve.http.gatekeeper import Gatekeeper
from icnet.serve.logs import set_up

TOKEN = "s3cret"
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def route(app, path, method="GET"):
    return lambda endpoint: app.add_route(path, endpoint, methods=[method])


def application(service):
    app = Starlette()

    @route(app, "/items/{name}")
    async def item(request: Request) -> Response:
        return Response(
            request.state.request_id, headers={"X-Model-Name": "net", "X-Model-Version": "abc", "Cache-Control": "max-age=60"}
        )

    @route(app, "/items/{name}", "POST")
    async def change(request: Request) -> Response:
        async with received(request, service) as body:
            return JSONResponse(len(body))

    async def health(_: Request) -> Response:
        return JSONResponse(True)

    for path in ("/v2/health/live", "/v2/health/ready"):
        app.add_route(path, health)

    @route(app, "/full")
    async def full(_: Request) -> None:
        raise Overloaded("try again")

    @route(app, "/broken")
    async def broken(_: Request) -> None:
        raise RuntimeError("secret detail")

    @route(app, "/late")
    async def late(_: Request) -> Response:
        async def pieces():
            yield b"begun"
            raise RuntimeError("too late")

        return StreamingResponse(pieces())

    async def refused(request: Request, error: Refused) -> Response:
        request.state.refused = error.reason
        return JSONResponse({"error": str(error)}, error.status)

    app.add_exception_handler(Refused, refused)
    app.add_middleware(Gatekeeper, service=service)
    return app


@pytest.fixture
def log():
    root, ours = logging.getLogger(), logging.getLogger("icnet.serve")
    before = root.handlers[:], root.level, ours.level
    stream = io.StringIO()
    set_up(stream, logging.DEBUG)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def client(service=None, url: str = "http://localhost:8000", **others) -> TestClient:
    service = service or bare_service(**others)
    return TestClient(application(service), base_url=url)


def sample(service, name, **labels):
    return service.metrics.registry.get_sample_value(name, labels) or 0


# Headers


@pytest.mark.parametrize("path", ["/items/a", "/nothing", "/broken", "/full", "/v2/health/live"])
@pytest.mark.parametrize("token", [None, TOKEN])
def test_every_answer_has_the_headers(path, token):
    answer = client(token=token).get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "camera=(self)" in answer.headers["permissions-policy"]
    assert "strict-transport-security" not in answer.headers
    assert len(answer.headers["x-request-id"]) == 16
    own = path == "/items/a" and token is None
    assert answer.headers["cache-control"] == ("max-age=60" if own else "no-store")
    assert len(answer.headers.get_list("cache-control")) == 1


def test_https_only():
    assert client(url="https://localhost").get("/items/a").headers["strict-transport-security"].startswith("max-age=")


def test_ids_are_kept_and_given():
    asked = client().get("/items/a", headers={"X-Request-Id": "mine-1"})
    assert asked.headers["x-request-id"] == asked.text == "mine-1"
    asked = client().get("/items/a", headers={"X-Request-Id": "not good"})
    assert asked.headers["x-request-id"] == asked.text != "not good"


# Hosts


NAMES = frozenset({"localhost", "127.0.0.1", "::1", "Icnet.example"})


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8000", "localhost:", "localhost.", "127.0.0.1:1", "[::1]", "[::1]:8000", "[0:0:0:0:0:0:0:1]",
        "icnet.example:443",
    ],
)  # fmt: skip
def test_known_hosts(host):
    assert client(hosts=NAMES).get("/items/a", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "localhost.evil.example", "evil-localhost", "127.0.0.2", "[::2]", "::1", "localhost:80:80", "a@localhost",
        "localhost/", "localhost#", "", ":8000", "[", "[]", "[localhost]", "local host", "localhost,evil.example",
        "localhost\x00", "0.0.0.0", "127.1", "x" * 1000,
    ],
)  # fmt: skip
def test_other_hosts(host):
    answer = client(hosts=NAMES).get("/items/a", headers={"host": host})
    assert answer.status_code in (400, 403)
    assert set(answer.json()) == {"error"}
    assert "xxx" not in answer.text


def test_no_host():
    async def ask(hosts):
        transport = httpx.ASGITransport(lambda scope, *rest: app({**scope, "headers": []}, *rest))
        app = application(bare_service(hosts=hosts))
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as asking:
            return (await asking.get("/items/a")).status_code

    assert asyncio.run(ask(None)) == 200
    assert asyncio.run(ask(NAMES)) == 403


def test_any_host_where_none_is_named():
    assert client().get("/items/a", headers={"host": "whatever.example:1"}).status_code == 200
    assert client().get("/items/a", headers={"host": "["}).status_code == 400


# Browsers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://localhost:8000"}, 200),
        ({"Origin": "http://LOCALHOST:8000", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://localhost", "Host": "localhost"}, 200),
        ({"Origin": "https://localhost", "Host": "localhost:443"}, 200),
        ({"Origin": "http://[::1]:8000", "Host": "[::1]:8000"}, 200),
        ({"Origin": "http://localhost"}, 403),
        ({"Origin": "http://localhost:8001"}, 403),
        ({"Origin": "http://evil.example:8000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://localhost:99999999"}, 403),
        ({"Origin": "localhost:8000"}, 403),
        ({"Origin": "chrome-extension://abc"}, 403),
    ],
)
def test_pages_of_others_change_nothing(headers, status):
    service = bare_service()
    assert client(service).post("/items/a", headers=headers, content=b"x").status_code == status
    assert sample(service, "icnet_rejections_total", protocol="http", reason="forbidden") == (status == 403)
    assert client().get("/items/a", headers=headers).status_code == 200
    if status == 403:
        assert client().options("/items/a", headers=headers).status_code == 403


# Token


def test_the_token_is_wanted_everywhere_but_for_health():
    asking = client(token=TOKEN)
    for path in (
        "/items/a",
        "/nothing",
        "/metrics",
        "/openapi.json",
        "/v2/health/live/",
        "//v2/health/live",
        "/v2/health/live/../x",
    ):
        answer = asking.get(path, follow_redirects=False)
        assert answer.status_code == 401, path
        assert answer.headers.get_list("www-authenticate") == [
            'Basic realm="icnet", charset="UTF-8"', 'Bearer realm="icnet"',
        ]  # fmt: skip
        assert set(answer.json()) == {"error"}
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert asking.get(path).status_code == 200
    for shown in (f"Bearer {TOKEN}", "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()):
        assert asking.get("/items/a", headers={"Authorization": shown}).status_code == 200
    assert asking.get("/items/a", headers={"Authorization": "Bearer wrong"}).status_code == 401


# Metrics and log


def test_answers_are_counted_by_route():
    service = bare_service()
    asking = client(service)
    for path in ("/items/a", "/items/b", "/made/up", "/made/up/too"):
        asking.get(path)
    asking.delete("/items/a")
    asking.get("/full")
    counts = {
        ("/items/{name}", "200"): 2,
        ("other", "404"): 2,
        ("/items/{name}", "405"): 1,
        ("/full", "503"): 1,
    }
    for (route, status), count in counts.items():
        assert sample(service, "icnet_requests_total", protocol="http", route=route, status=status) == count
    assert sample(service, "icnet_request_seconds_count", protocol="http", route="/items/{name}") == 3
    assert sample(service, "icnet_rejections_total", protocol="http", reason="overloaded") == 1


def test_a_request_is_one_line(log):
    client(token=TOKEN).post("/items/a?key=private", content=b"12345", headers={"Authorization": f"Bearer {TOKEN}"})
    (line,) = [line for line in log() if line["event"] == "request"]
    assert line.pop("seconds") > 0
    assert len(line.pop("request_id")) == 16
    del line["time"]
    assert line == {
        "level": "info", "event": "request", "protocol": "http", "method": "POST", "path": "/items/a", "route": "/items/{name}",
        "status": 200, "bytes_in": 5, "bytes_out": 1, "client": "testclient",
    }  # fmt: skip
    assert TOKEN not in json.dumps(log())
    client().get("/items/a")
    assert (log()[-1]["model"], log()[-1]["version"]) == ("net", "abc")


def test_probes_are_quiet(log):
    for path in ("/v2/health/live", "/v2/health/ready", "/metrics"):
        client().get(path)
    assert [line["level"] for line in log() if line["event"] == "request"] == ["debug"] * 3


def test_paths_in_the_log_are_bounded_and_escaped(log):
    client().get("/" + "x" * 5000 + "?" + "y" * 100)
    assert log()[-1]["path"] == "/" + "x" * 199
    client().get("/%0A%7B%22event%22:%22forged%22%7D%1B")
    assert log()[-1]["event"] == "request"
    assert log()[-1]["path"] == '/\n{"event":"forged"}\x1b'


def test_errors_of_ours_are_logged_once_and_not_told(log):
    service = bare_service()
    answer = client(service).get("/broken")
    assert answer.status_code == 500
    number = answer.headers["x-request-id"]
    assert answer.json() == {"error": f"an error inside the server; its log has the details under request {number}"}
    traces = [line for line in log() if "traceback" in line]
    assert len(traces) == 1
    assert traces[0]["request_id"] == number
    assert "secret detail" in traces[0]["traceback"]
    assert sample(service, "icnet_requests_total", protocol="http", route="/broken", status="500") == 1


def test_an_error_after_the_beginning_cuts_the_answer(log):
    service = bare_service()
    with listening(service, application(service)) as server:
        answer = server.exchange(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"begun" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert len([line for line in log() if "traceback" in line]) == 1


def test_clients_that_leave_are_no_error(log):
    service = bare_service()
    with listening(service, application(service)) as server, server.client() as asking:
        asking.sendall(b"POST /items/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        asking.close()
        until(lambda: any(line["event"] == "request" for line in log()))
    assert [(line["event"], line.get("status")) for line in log() if line["level"] != "debug"] == [("request", 499)]
    assert sample(service, "icnet_requests_total", protocol="http", route="/items/{name}", status="499") == 1
    assert service.budget.held_bytes == 0


def test_requests_that_the_end_cuts_short_are_told(log):
    service = bare_service()
    app = application(service)

    @route(app, "/begun")
    async def begun(_: Request) -> Response:
        async def pieces():
            yield b"begun"
            await asyncio.sleep(60)

        return StreamingResponse(pieces())

    async def run(server) -> None:
        for task in server.server.connections.values():
            task.cancel()

    with listening(service, app) as server, server.client() as stalled, server.client() as other:
        stalled.sendall(b"POST /items/a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        other.sendall(b"GET /begun HTTP/1.1\r\nHost: a\r\n\r\n")
        while b"begun" not in other.recv(1000):
            pass
        until(lambda: service.budget.held_bytes == 3)
        service.draining = True
        asyncio.run_coroutine_threadsafe(run(server), server.loop).result(5)
        status, head, body = read_answer(stalled)
        assert status == 503
        assert b"retry-after: 5" in head
        assert b"connection: close" in head
        assert "the server ended" in json.loads(body)["error"]
        assert b"0\r\n\r\n" not in other.recv(1000)
        until(lambda: len(server.server.connections) <= 1)
    assert not [line for line in log() if "traceback" in line or line["level"] == "error"]
    assert [line["status"] for line in log() if line["event"] == "request" and line["method"] == "POST"] == [503]
    assert sample(service, "icnet_rejections_total", protocol="http", reason="draining") == 1


def large(service, most: int, *, streamed: bool = False):
    """An application with answers of 1 MiB, of which `most` may be on their way."""
    size = 1 << 20
    app = application(service)
    service.responses._limit_bytes = most * size

    @route(app, "/large")
    async def large(_: Request) -> Response:
        async def pieces():
            for _ in range(16):
                yield bytes(size // 16)

        return StreamingResponse(pieces(), headers={"content-length": str(size)}) if streamed else Response(bytes(size))

    return app


@pytest.mark.parametrize("streamed", [False, True])
def test_slow_readers_do_not_fill_the_memory(streamed):
    service = bare_service()
    with listening(service, large(service, 2, streamed=streamed)) as server, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(server.client(receive_bytes=4096)) for _ in range(2)]
        for client in slow:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: sample(service, "icnet_answering_bytes") == 2 << 20)
        assert all(connection.left_bytes < 1 << 18 for connection in server.server.connections)
        with server.client() as client:
            client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /items/a HTTP/1.1\r\nHost: a\r\n\r\n")
            status, head, rest = read_answer(client, more=True)
            assert status == 503
            assert b"retry-after: 1\r\n" in head
            assert b"answers being sent fill" in rest
            until(lambda: sample(service, "icnet_requests_total", protocol="http", route="/items/{name}", status="200"))
        assert sample(service, "icnet_requests_total", protocol="http", route="/large", status="503") == 1
        for client in slow:
            assert read_answer(client)[2] == bytes(1 << 20)
        until(lambda: service.responses.held_bytes == 0)
        slow[0].sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(slow[0])[0] == 200


def test_one_answer_is_never_too_large():
    service = bare_service()
    with listening(service, large(service, 0)) as server, server.client() as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_answer(client)[2] == bytes(1 << 20)
    assert service.responses.held_bytes == 0


def test_all_together_over_a_socket():
    service = bare_service(token=TOKEN, hosts=NAMES)
    with listening(service, application(service)) as server, server.client() as asking:
        for request, status in [
            (b"GET /items/a HTTP/1.1\r\nHost: localhost\r\n\r\n", 401),
            (b"GET /items/%00 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\xfe\r\n\r\n", 401),
            (b"GET /items/a HTTP/1.1\r\nHost: evil\r\nAuthorization: Bearer s3cret\r\n\r\n", 403),
            (b"GET /items/%FF HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\n\r\n", 200),
            (
                b"POST /items/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nAuthorization: Basic OnMzY3JldA==\r\n\r\nabc",
                200,
            ),
        ]:
            asking.sendall(request)
            answered, head, _ = read_answer(asking)
            assert answered == status
            assert b"connection: close" not in head
            assert b"server:" not in head
