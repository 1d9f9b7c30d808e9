"""Raw sockets against a real server: what slow, many and confused clients get."""

import asyncio
import contextlib
import json
import resource
import socket
import ssl
import threading
import time

import psutil
import pytest
import trustme
from listening import Listening, bare_service, listening, read_all, read_answer, refusal, until

from icnet.serve.limits import Limits

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 1 << 20


async def echo(scope, receive, send):
    """Tells method, path and length of the body."""
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    body = json.dumps([scope["method"], scope["path"], length]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})


async def unwilling(scope, receive, send):
    """Refuses without looking at the body."""
    status = int(scope["path"][1:])
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"7")]})
    await send({"type": "http.response.body", "body": b"refused"})


def rejected(service, reason):
    return service.metrics.registry.get_sample_value("icnet_rejections_total", {"protocol": "http", "reason": reason}) or 0


def connections(service):
    return service.metrics.registry.get_sample_value("icnet_connections")


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_tls(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# Slow clients


def test_slowloris_ends_however_often_it_sends():
    service = bare_service(Limits(header_seconds=0.6))
    with listening(service, echo) as server, server.client() as client:
        begun = time.monotonic()
        client.sendall(b"GET / HTTP/1.1\r\n")
        client.settimeout(0.1)
        answer = b""
        while time.monotonic() - begun < 4:
            try:
                answer = client.recv(1000)
                break
            except TimeoutError:
                client.sendall(b"x")
        assert 0.5 < time.monotonic() - begun < 1.5
        assert refusal(answer)[0] == 408
        assert "0.6 seconds" in refusal(answer)[1]
        assert rejected(service, "too_slow") == 1


def test_a_connection_that_says_nothing_is_closed_without_an_answer():
    with listening(bare_service(Limits(header_seconds=0.2)), echo) as server:
        assert server.exchange(b"") == b""


def test_slow_headers_of_a_later_request():
    with listening(bare_service(Limits(header_seconds=0.3)), echo) as server, server.client() as client:
        client.sendall(GET + b"GET /half")  # the beginning comes along with the request before
        assert read_answer(client)[0] == 200
        assert refusal(read_all(client))[0] == 408
        client.close()
        with server.client() as client:
            client.sendall(GET)
            assert read_answer(client)[0] == 200
            time.sleep(0.5)  # idle is not slow
            client.sendall(GET)
            assert read_answer(client)[0] == 200


def test_a_begun_request_is_not_idle():
    with listening(bare_service(Limits(idle_seconds=0.2)), echo) as server, server.client() as client:
        client.sendall(GET + GET[:5])
        assert read_answer(client)[0] == 200
        time.sleep(0.4)
        client.sendall(GET[5:])
        assert read_answer(client)[0] == 200


def test_time_for_the_headers_does_not_run_during_body_and_answer():
    with listening(bare_service(Limits(header_seconds=0.2)), echo) as server, server.client() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\n")
        for sign in b"abc":
            time.sleep(0.15)
            client.sendall(bytes([sign]))
        assert read_answer(client)[2] == b'["POST", "/", 3]'


def test_idle_connections_end():
    with listening(bare_service(Limits(idle_seconds=0.3)), echo) as server, server.client() as client:
        client.sendall(GET)
        assert read_answer(client)[0] == 200
        begun = time.monotonic()
        assert read_all(client) == b""
        assert 0.2 < time.monotonic() - begun < 1.5


def test_a_client_that_does_not_take_its_answer_is_left():
    async def long(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(32 * MIB)})

    with listening(bare_service(Limits(idle_seconds=0.3)), long) as server, server.client() as client:
        client.sendall(GET)
        until(lambda: server.server.connections)
        until(lambda: not server.server.connections)


@pytest.mark.parametrize("keep", [False, True])
def test_a_byte_now_and_then_is_not_enough(keep, monkeypatch):
    monkeypatch.setattr("icnet.serve.http.wire._LEAST_BYTES_PER_SECOND", MIB)
    size = 16 * MIB

    async def long(scope, receive, send):
        headers = [(b"content-length", str(size).encode()), *([] if keep else [(b"connection", b"close")])]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(size)})

    def take(piece: int, gap: float, receive_bytes: int | None = None) -> int:
        """How much a client gets that takes its time."""
        with server.client(receive_bytes=receive_bytes) as client:
            client.sendall(GET)
            taken = 0
            with contextlib.suppress(ConnectionError):
                while taken < size and (got := client.recv(piece)):
                    taken += len(got)
                    if server.server.connections:
                        time.sleep(gap)
            return taken

    with listening(bare_service(Limits(idle_seconds=0.5)), long) as server:
        begun = time.monotonic()
        slow = threading.Thread(target=take, args=(1, 0.05, 4096))
        slow.start()
        until(lambda: server.server.connections)
        until(lambda: not server.server.connections)
        assert 0.4 < time.monotonic() - begun < 2
        begun = time.monotonic()
        assert take(256 << 10, 0.015) >= size
        assert time.monotonic() - begun > 0.6  # more than what clients get besides
        slow.join(1)
        until(lambda: keep or not server.server.connections)


def test_the_last_bytes_of_an_answer_do_not_wait_for_ever():
    size, sent = 8 * MIB, []

    async def long(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": bytes(size), "more_body": True})
        sent.append(size)
        await send({"type": "http.response.body", "body": bytes(MIB)})

    with listening(bare_service(Limits(idle_seconds=0.5)), long) as server, server.client(receive_bytes=4096) as client:
        client.sendall(GET)
        while not sent:  # what the system holds is little
            client.recv(4096)
        until(lambda: not server.server.connections, 2)


# Many clients


def test_the_longest_idle_connection_makes_room(monkeypatch, server_tls, client_tls):
    monkeypatch.setattr("icnet.serve.http.listener._LEAST_IDLE_SECONDS", 0.3)
    monkeypatch.setattr("icnet.serve.http.connection._SILENCE_SECONDS", 0.2)
    for tls in (None, server_tls):
        service = bare_service(Limits(connections=3))
        with listening(service, echo, tls) as server, contextlib.ExitStack() as stack:

            def connect(server=server, stack=stack, tls=tls):
                plain = stack.enter_context(server.client())
                return client_tls.wrap_socket(plain, server_hostname="localhost") if tls else plain

            working, half, idle = connect(), connect(), connect()
            working.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\n\r\n")
            half.sendall(b"GET / H")
            idle.sendall(GET)
            assert read_answer(idle)[0] == 200
            assert read_answer(ask(connect()))[0] == 503  # it may want more soon
            time.sleep(0.4)
            probe = ask(connect())
            assert read_answer(probe)[0] == 200
            assert connections(service) == 3
            with contextlib.suppress(ssl.SSLEOFError):
                assert idle.recv(1) == b""
            assert read_answer(ask(connect()))[0] == 503  # the others are not idle
            working.sendall(b"abc")
            half.sendall(GET[7:])
            assert read_answer(working)[0] == read_answer(half)[0] == 200
            assert rejected(service, "connections") == 2


def ask(client):
    client.sendall(GET)
    return client


def test_connections_above_the_limit_are_answered_at_once():
    service = bare_service(Limits(connections=2))
    with listening(service, echo) as server:
        with server.client() as one, server.client() as two:
            one.sendall(CHUNKED)
            two.sendall(CHUNKED)
            until(lambda: connections(service) == 2)
            begun = time.monotonic()
            for request in (b"", GET, GET + b"x" * MIB):
                with server.client() as third:
                    third.sendall(request)
                    status, head, body = read_answer(third)
                    assert status == 503
                    assert b"retry-after: 1\r\n" in head
                    assert "as many connections" in json.loads(body)["error"]
                    assert third.recv(1) == b""
            assert time.monotonic() - begun < 1
            assert connections(service) == 2
            assert rejected(service, "connections") == 3
        until(lambda: connections(service) == 0)
        with server.client() as client:
            client.sendall(GET)
            assert read_answer(client)[0] == 200


def test_a_flood_of_connections_does_not_take_all_file_descriptors():
    service = bare_service(Limits(connections=4))
    with listening(service, echo) as server:
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
        until(lambda: rejected(service, "connections") == 56)
        until(lambda: len(server.server.connections) <= 8, 1)  # the others are not even answered
        for client in clients:
            client.close()
        until(lambda: not server.server.connections)


def test_without_descriptors_one_line_a_minute_and_then_on(caplog):
    caplog.set_level("ERROR", "icnet.serve")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listening(bare_service(), echo) as server, contextlib.ExitStack() as stack:
        kept = stack.enter_context(server.client())
        assert read_answer(ask(kept))[0] == 200
        clients = [stack.enter_context(socket.socket()) for _ in range(40)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (psutil.Process().num_fds() + 5, before[1]))
            for client in clients:
                client.connect(("127.0.0.1", server.port))
            until(lambda: caplog.records)
            time.sleep(0.7)  # it tries again
            assert read_answer(ask(kept))[0] == 200
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert [record.message for record in caplog.records] == ["cannot_accept"]
        for client in clients:
            client.settimeout(5)
            assert read_answer(ask(client))[0] == 200


# Confused clients


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS to a plain port\r\n\r\n", 400),
        (b"\x00" * 100, 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /ü HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT there:443 HTTP/1.1\r\nHost: there:443\r\n\r\n", 400),
        (b"GET http://there/ HTTP/1.1\r\nHost: there\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        # what a proxy may read in another way
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400),
        (CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
        (CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
        (CHUNKED + b"3\r\nabc\r\n0\r\n\n", 400),
        (CHUNKED + b"3\r\nabc\r\n0\r\nx: y\n\n", 400),
        (CHUNKED + b"zz\r\n", 400),
        (CHUNKED + b"3\r\nabcde\r\n", 400),
        (CHUNKED + b"1;" + b"x" * 40000, 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 40000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_broken_requests_get_one_sentence(shared, request_bytes, status):
    service, server = shared
    before = rejected(service, "bad_request")
    with server.client() as client:
        client.sendall(request_bytes)
        found, head, body = read_answer(client)
        assert found == status
        assert b"connection: close" in head
        assert b"content-type: application/json" in head
        assert set(json.loads(body)) == {"error"}
        assert b"xxx" not in body
    assert rejected(service, "bad_request") == before + 1


@pytest.fixture(scope="module")
def shared():
    service = bare_service()
    with listening(service, echo) as server:
        yield service, server


def test_escaped_paths_arrive(shared):
    with shared[1].client() as client:
        client.sendall(b"GET /%C3%BC%FF%00 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert json.loads(read_answer(client)[2])[1] == "/ü\ufffd\x00"


def test_upgrades_are_ignored(shared):
    for protocol in (b"websocket", b"h2c"):
        with shared[1].client() as client:
            client.sendall(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: " + protocol
                + b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )  # fmt: skip
            assert read_answer(client)[0] == 200
            client.sendall(GET)
            assert read_answer(client)[0] == 200


def test_pipelined_requests_are_answered_in_order(shared):
    requests = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" % number if number % 2 else
        b"GET /%d HTTP/1.1\r\nHost: a\r\n%s\r\n" % (number, b"Connection: close\r\n" if number == 30 else b"")
        for number in range(31)
    )  # fmt: skip
    answer = shared[1].exchange(requests)
    assert [f'"/{number}", {4 * (number % 2)}]'.encode() in answer for number in range(31)] == [True] * 31
    assert [answer.index(b'"/%d"' % number) for number in range(31)] == sorted(answer.index(b'"/%d"' % n) for n in range(31))


def test_many_requests_at_once_do_not_stop_the_others():
    paths = []

    async def app(scope, receive, send):
        paths.append(scope["path"])
        await echo(scope, receive, send)

    with listening(bare_service(), app) as server, server.client() as many, server.client() as one:
        threads = [threading.Thread(target=many.sendall, args=(GET * 5000,)), threading.Thread(target=read_all, args=(many,))]
        for thread in threads:
            thread.start()
        until(lambda: paths)
        one.sendall(GET.replace(b"/", b"/one", 1))
        assert read_answer(one)[0] == 200
        assert paths.index("/one") < 4000
        until(lambda: len(paths) == 5001, 30)
        many.shutdown(socket.SHUT_WR)
        for thread in threads:
            thread.join(5)


def test_a_broken_chunk_while_the_application_waits_for_it():
    ends = []

    async def app(scope, receive, send):
        await echo(scope, receive, send)
        ends.append((await receive())["type"])

    with listening(bare_service(), app) as server, server.client() as client:
        client.sendall(CHUNKED + b"3\r\nabc\r\n")
        time.sleep(0.1)
        client.sendall(b"zz\r\n")
        assert refusal(read_all(client))[0] == 400
        until(lambda: ends)
        assert ends == ["http.disconnect"]


def test_only_one_answer_to_a_broken_body(caplog):
    ends = []

    async def app(scope, receive, send):
        await asyncio.sleep(0.3)
        await unwilling({**scope, "path": "/200"}, receive, send)
        ends.append(True)

    with listening(bare_service(), app) as server, server.client() as client:
        client.sendall(CHUNKED + b"zz\r\n")
        answer = read_answer(client)
        assert answer[0] == 400
        until(lambda: ends)
        assert client.recv(1) == b""
    assert not caplog.records


def test_tiny_chunks_do_not_stop_the_others(shared):
    _, server = shared
    with server.client() as client:
        del server.stalls[:]
        client.sendall(CHUNKED + b"1\r\nx\r\n" * 400_000)
        status, _, body = read_answer(client)
        assert status == 400
        assert "tiny chunks" in json.loads(body)["error"]
        until(lambda: server.stalls)
        assert max(server.stalls) < 0.1  # it would be seconds
    with server.client() as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(CHUNKED + (b"100\r\n" + bytes(256) + b"\r\n") * 60_000)
        assert read_answer(client)[0] == 400
    with server.client() as client:
        client.sendall(CHUNKED + (b"400\r\n" + bytes(1024) + b"\r\n") * 15_000 + b"0\r\n\r\n")
        assert json.loads(read_answer(client)[2])[2] == 15_000 * 1024
    with server.client() as client:  # a body of lines is no attack
        client.sendall(CHUNKED + b"5\r\nline\n\r\n" * 900 + b"0\r\n\r\n")
        assert json.loads(read_answer(client)[2])[2] == 4500


def test_endless_headers_take_no_memory(shared):
    process = psutil.Process()
    before = process.memory_info().rss
    with shared[1].client() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        try:
            for _ in range(40):
                client.sendall(b"x" * MIB)
            assert refusal(read_all(client))[0] == 431
        except ConnectionError:
            pytest.fail("the answer was lost")
    assert process.memory_info().rss - before < 8 * MIB


@pytest.mark.parametrize("requests", [GET, GET * 3, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"])
def test_an_answer_for_clients_that_have_nothing_more_to_say(requests):
    async def late(scope, receive, send):
        await asyncio.sleep(0.1)
        await echo(scope, receive, send)

    with listening(bare_service(), late) as server, server.client() as client:
        client.sendall(requests)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).count(b"HTTP/1.1 200 ") == max(1, requests.count(b"GET"))
        until(lambda: not server.server.connections, 1)


def test_half_closed_without_a_whole_request():
    with listening(bare_service(), echo) as server:
        for request in (b"", b"GET", GET + b"GET", CHUNKED + b"3\r\nabc\r\n"):
            with server.client() as client:
                client.sendall(request)
                time.sleep(0.05)
                client.shutdown(socket.SHUT_WR)
                assert read_all(client).count(b"HTTP/1.1 ") == request.count(b"GET /")
                until(lambda: not server.server.connections, 1)


def test_refusals_without_the_application_are_counted_and_logged(caplog):
    service = bare_service(Limits(header_seconds=0.2))
    caplog.set_level("INFO", "icnet.serve")
    with listening(service, echo) as server:
        for request in (b"nonsense\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b"GET", b"GET /" + b"x" * 40000):
            assert refusal(server.exchange(request))
    for status, count in (("400", 2), ("408", 1), ("431", 1)):
        labels = {"protocol": "http", "route": "other", "status": status}
        assert service.metrics.registry.get_sample_value("icnet_requests_total", labels) == count
    assert [record.fields["status"] for record in caplog.records if record.message == "refused"] == [400, 400, 408, 431]


# Answers that come before the body has


def upload(server: Listening, status: int, *, chunked: bool, tls: ssl.SSLContext | None = None) -> bytes:
    """Send 50 MB like a client that reads only when everything is sent."""
    piece = bytes(MIB)
    with server.client(20) as plain, tls.wrap_socket(plain, server_hostname="localhost") if tls else plain as client:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (50 * MIB)
        client.sendall(b"POST /%d HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" % (status, framing))
        for _ in range(50):
            client.sendall(b"%x\r\n%s\r\n" % (MIB, piece) if chunked else piece)
        if chunked:
            client.sendall(b"0\r\n\r\n")
        status_, head, body = read_answer(client)
        assert status_ == status
        assert b"connection: close" in head
        return body


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("status", [401, 413, 503])
def test_an_early_answer_reaches_a_client_that_goes_on_sending(status, chunked):
    service = bare_service()
    with listening(service, unwilling) as server:
        for _ in range(9):  # 54 in all
            assert upload(server, status, chunked=chunked) == b"refused"
        until(lambda: not server.server.connections)


def test_an_early_answer_over_tls(server_tls, client_tls):
    with listening(bare_service(), unwilling, server_tls) as server:
        for chunked in (False, True):
            assert upload(server, 413, chunked=chunked, tls=client_tls) == b"refused"


def test_an_early_answer_to_a_client_that_waits_for_continue(shared):
    head = b"POST /413 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    with listening(bare_service(), unwilling) as server:
        assert server.exchange(head).startswith(b"HTTP/1.1 413 ")
    with shared[1].client() as client:  # and a willing application asks for the body
        client.sendall(head)
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"123456789")
        assert json.loads(read_answer(client)[2])[2] == 9


def test_lingering_ends(monkeypatch):
    monkeypatch.setattr("icnet.serve.http.connection._SILENCE_SECONDS", 0.3)
    monkeypatch.setattr("icnet.serve.http.connection._LINGER_SECONDS", 0.8)
    monkeypatch.setattr("icnet.serve.http.connection._LINGER_BYTES", 3 * MIB)
    service = bare_service()
    with listening(service, unwilling) as server:
        head = b"POST /413 HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"

        def lasts(gap: float, piece: bytes) -> float:
            with server.client() as client:
                client.sendall(head)
                assert read_answer(client)[0] == 413
                begun = time.monotonic()
                while connections(service):
                    time.sleep(gap)
                    try:
                        client.sendall(piece)
                    except ConnectionError:
                        break
                    assert time.monotonic() - begun < 5
                return time.monotonic() - begun

        assert 0.2 < lasts(0.02, b"") < 0.6
        assert 0.6 < lasts(0.02, b"x") < 1.2
        assert lasts(0, bytes(MIB)) < 0.3
        until(lambda: connections(service) == 0)


def test_an_unread_request_after_the_last_does_not_reset(shared):
    for _ in range(20):
        answer = shared[1].exchange(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET * 2000)
        assert answer.startswith(b"HTTP/1.1 200 ")


# TLS


def test_requests_over_tls(server_tls, client_tls):
    service = bare_service()
    with (
        listening(service, echo, server_tls) as server,
        server.client() as plain,
        client_tls.wrap_socket(plain, server_hostname="localhost") as client,
    ):
        for _ in range(2):
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + bytes(100000))
            assert json.loads(read_answer(client)[2])[2] == 100000
        assert connections(service) == 1


def test_handshakes_that_never_end_are_counted_and_closed(server_tls, client_tls):
    service = bare_service(Limits(header_seconds=0.5, connections=2))
    with listening(service, echo, server_tls) as server:
        with server.client() as silent, server.client() as broken:
            silent.sendall(b"\x16\x03\x01")
            until(lambda: connections(service) == 2)
            with server.client() as plain, client_tls.wrap_socket(plain, server_hostname="localhost") as third:
                assert read_answer(third)[0] == 503
            broken.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            until(lambda: connections(service) == 1)
            assert silent.recv(1) == b""
        until(lambda: not server.server.connections)
        for _ in range(5):  # gone in the middle
            with server.client() as client:
                client.sendall(b"\x16\x03\x01")
        until(lambda: not server.server.connections)


def test_the_end_does_not_wait_for_clients_that_say_nothing(server_tls):
    for tls in (None, server_tls):
        with listening(bare_service(), echo, tls) as server:
            clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
            until(lambda: len(server.server.connections) == 3)
            begun = time.monotonic()
        assert time.monotonic() - begun < 1.5
        for client in clients:
            client.close()


def test_the_end_does_not_wait_for_clients_that_never_end_tls(server_tls, client_tls, monkeypatch):
    monkeypatch.setattr("icnet.serve.http.connection._SILENCE_SECONDS", 0.3)
    with listening(bare_service(), echo, server_tls) as server, server.client() as plain:
        client = client_tls.wrap_socket(plain, server_hostname="localhost")
        client.sendall(GET)
        assert read_answer(client)[0] == 200
        begun = time.monotonic()
        server.end()
        until(lambda: not server.server.connections, 4)
        assert 0.2 < time.monotonic() - begun < 1.5
        client.close()


def test_a_long_answer_over_tls_is_read_to_its_end(server_tls, client_tls, monkeypatch):
    monkeypatch.setattr("icnet.serve.http.connection._SILENCE_SECONDS", 0.1)

    async def long(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(16 * MIB).encode())]})
        await send({"type": "http.response.body", "body": bytes(16 * MIB)})

    head = GET[:-2] + b"Connection: close\r\n\r\n"
    with listening(bare_service(), long, server_tls) as server:
        for rest in (b"", GET):  # with something unread, too
            with server.client() as plain, client_tls.wrap_socket(plain, server_hostname="localhost") as client:
                client.sendall(head + rest)
                time.sleep(0.3)
                assert len(read_answer(client)[2]) == 16 * MIB
        until(lambda: not server.server.connections, 1)


def test_answers_end_connections_when_the_server_is_about_to():
    service = bare_service()
    with listening(service, echo) as server, server.client() as client:
        client.sendall(GET)
        assert b"connection: close" not in read_answer(client)[1]
        service.draining = True
        client.sendall(GET)
        assert b"connection: close" in read_answer(client)[1]
        assert client.recv(1) == b""


def test_an_answer_that_began_before_the_end_is_the_last():
    async def slow(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        for more in (True, False):
            await send({"type": "http.response.body", "body": b"x", "more_body": more})
            await asyncio.sleep(0.5)

    with listening(bare_service(), slow) as server, server.client() as client:
        client.sendall(GET)
        assert client.recv(1000).endswith(b"x")
        begun = time.monotonic()
        server.end()
        assert read_all(client) == b"x"
        assert time.monotonic() - begun < 2


def test_a_request_that_crosses_the_end_is_answered(monkeypatch):
    monkeypatch.setattr("icnet.serve.http.listener._FAREWELL_SECONDS", 0.5)
    with listening(bare_service(), echo) as server, server.client() as fresh, server.client() as kept:
        assert read_answer(ask(kept))[0] == 200
        until(lambda: len(server.server.connections) == 2)
        server.end()
        time.sleep(0.1)
        for client in (ask(fresh), ask(kept)):
            assert read_answer(client)[0] == 200
            assert client.recv(1) == b""


def test_resets_at_every_stage(server_tls, client_tls):
    async def app(scope, receive, send):
        await asyncio.sleep(0.002)
        await (unwilling if scope["path"] == "/413" else echo)(scope, receive, send)

    upload = b"POST /413 HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n" + bytes(100_000)
    for tls in (None, server_tls):
        service = bare_service()
        with listening(service, app, tls) as server:
            for number in range(120):
                with server.client() as plain:
                    client = client_tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
                    with contextlib.suppress(ConnectionError):
                        client.sendall((GET, CHUNKED + b"zz\r\n", upload, CHUNKED + b"3\r\nabc\r\n", GET * 50)[number % 5])
                    if number % 2 and not tls:
                        client.shutdown(socket.SHUT_WR)
                    time.sleep(number % 7 / 1500)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                    client.close()
            until(lambda: connections(service) == 0, 1)  # noqa: B023
            until(lambda: not server.server.connections, 1)
            begun = time.monotonic()
        assert time.monotonic() - begun < 1


def test_nothing_stays_behind():
    service = bare_service(Limits(idle_seconds=600, header_seconds=600))
    begun, threads = time.monotonic(), threading.active_count()
    with listening(service, echo) as server:
        for request in (b"", b"GET", GET, CHUNKED, CHUNKED + b"zz\r\n", b"nonsense\r\n\r\n", GET + b"GET"):
            for reset in (False, True):
                with server.client() as client:
                    client.sendall(request)
                    if reset:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        until(lambda: not server.server.connections)
        assert connections(service) == 0
    assert time.monotonic() - begun < 4
    assert threading.active_count() == threads
