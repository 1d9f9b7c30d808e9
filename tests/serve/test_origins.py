"""Pages of other origins, which browsers let in only where the server says so."""

import pytest
from page_site import new_site
from starlette.testclient import TestClient

from icnet.base.errors import UsageError
from icnet.serve.app import build_app
from icnet.serve.options import ServerOptions

HERE, ELSEWHERE = "https://example.org", "https://example.com"


def client(*origins: str, token: str | None = None) -> TestClient:
    service = new_site().service
    service.origins, service.token = frozenset(origins), token
    return TestClient(build_app(service), base_url="http://localhost")


def asked(client: TestClient, origin: str, **headers: str):
    """What a browser asks before it sends a POST that is not simple, and the POST."""
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    leave = client.options("/v1/segment", headers={"Origin": origin, **wanted})
    sent = {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Content-Type": "image/png", **headers}
    return leave, client.post("/v1/segment?as=nothing", headers=sent, content=b"")


@pytest.mark.parametrize("origins", [(HERE,), (HERE, "http://10.0.0.7:3000"), ("*",)])
def test_an_allowed_page_asks_sends_and_reads(origins):
    leave, response = asked(client(*origins), HERE)
    assert leave.status_code == 200
    assert "authorization" in leave.headers["access-control-allow-headers"]
    assert response.status_code == 400, "it came through to the check of the query"
    for one in (leave, response):
        assert one.headers["access-control-allow-origin"] in (HERE, "*")
        assert "access-control-allow-credentials" not in one.headers
    assert "X-Model-Version" in response.headers["access-control-expose-headers"]


@pytest.mark.parametrize("origins", [(), (ELSEWHERE,), ("https://example.org:8443",)])
def test_other_pages_are_refused_as_before(origins):
    leave, response = asked(client(*origins), HERE)
    assert leave.status_code >= 400
    assert response.status_code == 403
    assert "access-control-allow-origin" not in {*leave.headers, *response.headers}


def test_leave_is_given_without_the_token_and_nothing_else():
    leave, response = asked(client(HERE, token="secret"), HERE)
    assert (leave.status_code, response.status_code) == (200, 401)
    assert response.headers["access-control-allow-origin"] == HERE, "so that the page can tell what is wrong"
    assert asked(client(HERE, token="secret"), HERE, Authorization="Bearer secret")[1].status_code == 400


@pytest.mark.parametrize("origin", ["example.org", "https://example.org/", "https://example.org/a", "https://me@example.org", ""])
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(UsageError, match="is no origin"):
        ServerOptions(origins=(origin,))
