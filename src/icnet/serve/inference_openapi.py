"""How OpenAPI describes the routes of the Open Inference Protocol."""

from typing import Any

from pydantic import BaseModel

from icnet.serve.inference_models import InferenceRequest, Problem, schema

HEADER = "Inference-Header-Content-Length"

_BINARY = {"type": "string", "format": "binary"}

_REFUSALS = {
    400: "The request is wrong.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another site, names another server, or asks for what nobody may.",
    404: "There is no such model or version.",
    408: "The body did not arrive in time.",
    413: "The body has too many bytes, or the picture too many pixels.",
    415: "The content-encoding of the body is not read.",
    503: "The server is busy or about to end; Retry-After says when to come again.",
}


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
    for status in sorted({400, 403, *refusals}):
        described[status] = {"model": Problem, "description": _REFUSALS[status]}
    for status, other in others:
        described[status] = {"model": other, "description": _REFUSALS[status]}
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
            "schema": _BINARY
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
    "content": {"application/octet-stream": {"schema": _BINARY}},
    "headers": {
        HEADER: {"description": "Bytes of JSON before the binary data; only if there are such.", "schema": {"type": "integer"}}
    },
}
