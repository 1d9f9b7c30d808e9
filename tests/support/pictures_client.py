"""`POST /v1/segment` without a server around it, of a tiny network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np
from segment_runs import picture, tiny_model
from serving import service
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from icnet.serve.errors import Refused
from icnet.serve.limits import Limits
from icnet.serve.pictures.routes import routes
from icnet.serve.service import Service

PICTURE = cv2.resize(picture(0), (320, 240))
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()
LIMITS = Limits(pixels=100_000, body_bytes=1 << 20)


def tiny_service(folder: Path) -> Service:
    from tiny_network import TINY

    tiny_model(folder, TINY)
    return service(folder / "tiny.safetensors", limits=LIMITS)


@contextmanager
def client_of(serve: Service) -> Iterator[TestClient]:
    refused = {Refused: lambda _, error: JSONResponse({"error": str(error)}, error.status)}
    app = Starlette(routes=routes(serve), exception_handlers=refused)
    with TestClient(app) as client:
        yield client


def post(
    client: TestClient, body: bytes = PNG, content_type: str | None = "image/png", accept: str | None = None, **query
) -> httpx.Response:
    """Headers that are None are not sent; `as_` stands for the parameter `as`."""
    query = {name.removesuffix("_"): value for name, value in query.items()}
    headers = {"content-type": content_type, "accept": accept}
    client.headers.pop("accept", None)
    given = {name: value for name, value in headers.items() if value is not None}
    return client.post("/v1/segment", content=body, params=query, headers=given)


def refusal(client: TestClient, status: int, *arguments, **options) -> str:
    answer = post(client, *arguments, **options)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert list(told) == ["error"]
    return told["error"]


def read(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def form(name: bytes, field: bytes = b"image", content: bytes = PNG) -> bytes:
    """With a file name as it is, unescaped."""
    head = b'--b0undary\r\nContent-Disposition: form-data; name="' + field + b'"; filename="' + name + b'"\r\n'
    return head + b"Content-Type: image/png\r\n\r\n" + content + b"\r\n--b0undary--\r\n"


def post_form(client: TestClient, body: bytes) -> httpx.Response:
    return post(client, body, "multipart/form-data; boundary=b0undary")
