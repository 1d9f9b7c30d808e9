"""How OpenAPI describes the routes of the Open Inference Protocol."""

from typing import Any

from pydantic import BaseModel

from icnet.serve.http import openapi
from icnet.serve.http.headers import MODEL_HEADERS
from icnet.serve.inference.schemas import InferenceRequest, schema

HEADER = "Inference-Header-Content-Length"


def answers(
    model: Any, *others: tuple[int, type[BaseModel]], refusals: tuple[int, ...] = (), **extra: Any
) -> dict[int | str, dict[str, Any]]:
    """The answers of a route.

    Args:
        model: of the body of status 200; None if there is no such answer.
        others: statuses with a body of another form than a refusal's.
        refusals: statuses that are possible beside those that every request may get.
        extra: what else is to be told about status 200.
    """
    described: dict[int | str, dict[str, Any]] = {} if model is None else {200: {"model": model, **extra}}
    described |= openapi.refusals(400, 403, *refusals)
    for status, other in others:
        described |= openapi.refusals(status, model=other)
    return described


def takes(model: type[BaseModel], *, required: bool = False, **others: Any) -> dict[str, Any]:
    """The body that a route takes: JSON of `model`, or other media types."""
    content = {"application/json": {"schema": schema(model)}} | others
    return {"requestBody": {"required": required, "content": content}}


_EXAMPLE = {
    "inputs": [{"name": "data", "datatype": "UINT8", "shape": [1, 1, 2, 3], "data": [0, 64, 128, 255, 255, 255]}],
    "outputs": [{"name": "classes"}],
}

INFER = takes(
    InferenceRequest,
    required=True,
    **{
        "application/octet-stream": {
            "schema": openapi.BINARY
            | {"description": f"The same JSON, as long as {HEADER} says, and the values of the input behind it."}
        }
    },
)
INFER["requestBody"]["content"]["application/json"]["example"] = _EXAMPLE
INFER["description"] = (
    "Send one picture as the input `data`, UINT8 [1, height, width, 3], in BGR order. The outputs are `classes` (class indices), "
    "`confidence` (255 is certain; not from a model that gives indices only), both UINT8 [1, height, width], and the network's "
    "own output under its name. Values follow the JSON as binary data where the parameter `binary_data` of an output, or "
    "`binary_data_output` of the request, is true."
)

INFERRED: dict[str, Any] = {
    "description": "The outputs.",
    "content": {"application/octet-stream": {"schema": openapi.BINARY}},
    "headers": MODEL_HEADERS
    | {HEADER: {"description": "Bytes of JSON before the binary data; only if there are such.", "schema": {"type": "integer"}}},
}
