import asyncio
import json

import cv2
import httpx
import numpy as np
import pytest
from page_site import LIGHT, new_site

from icnet.base.classes import CAMVID
from icnet.serve.page import routes as page_http


@pytest.fixture
def ask():
    """Send GET requests side by side to the application itself."""
    from icnet.serve.app import build_app

    app = build_app(new_site().service)

    def send(*paths: str, **headers: str) -> list[httpx.Response]:
        async def main() -> list[httpx.Response]:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
                return await asyncio.gather(*(client.get(path, headers=headers) for path in paths))

        return asyncio.run(main())

    return send


def test_page_and_its_parts(ask):
    page, style, script = ask("/", "/page/page.css", "/page/page.js")
    assert [answer.status_code for answer in (page, style, script)] == [200] * 3
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert " style=" not in page.text  # the policy of the server forbids it
    assert "<style" not in page.text
    assert page.text.count("<script") == 1


def test_browsers_keep_parts_until_they_change(ask):
    (first,) = ask("/page/page.js")
    assert first.headers["cache-control"] == "no-cache"
    (again,) = ask("/page/page.js", **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    (other,) = ask("/page/page.js", **{"If-None-Match": '"another"'})
    assert other.status_code == 200


@pytest.mark.parametrize("path", ["/page/none.js", "/page/index.html", "/page/..%2Froutes.py", "/page/", "/page/a/b"])
def test_nothing_else_is_served(ask, path):
    (answer,) = ask(path)
    assert answer.status_code == 404
    assert "error" in answer.json()


def test_facts(ask):
    facts = ask("/page/classes.json")[0].json()
    assert [known["name"] for known in facts["classes"]] == list(CAMVID.names)
    assert facts["classes"][3]["rgb"] == [128, 64, 128]
    assert facts["models"][0] == {"name": "first", "version": "0" * 12, "confidence": True}
    assert [model["confidence"] for model in facts["models"]] == [True, True, False, True]
    assert [one["name"] for one in facts["models"][3]["classes"]] == list(LIGHT.names)
    assert not any("classes" in model for model in facts["models"][:3])


def test_example_is_painted_once(ask, monkeypatch):
    painted, paint = [], page_http._paint

    def counted() -> bytes:
        painted.append(1)
        return paint()

    monkeypatch.setattr(page_http, "_paint", counted)
    answers = ask(*["/page/example.jpg"] * 3)
    answers += ask("/page/example.jpg")
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.content for answer in answers}) == 1
    assert cv2.imdecode(np.frombuffer(answers[0].content, np.uint8), cv2.IMREAD_COLOR).shape == (720, 960, 3)
    assert len(painted) == 1


def test_not_in_the_description_of_the_api(ask):
    paths = json.loads(ask("/openapi.json")[0].text)["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/page")]
