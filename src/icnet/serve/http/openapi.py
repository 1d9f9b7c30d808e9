"""What the descriptions of all routes have in common."""

from typing import Any

from pydantic import BaseModel, Field

BINARY = {"type": "string", "format": "binary"}

_REFUSALS = {
    400: "The request is wrong.",
    401: "The token is missing or wrong.",
    403: "The request comes from a page of another site, names another server, or asks for what nobody may.",
    404: "There is no such model or version.",
    406: "No form of the answer has an acceptable media type.",
    408: "The body did not arrive in time.",
    413: "The body has too many bytes, or the picture too many pixels.",
    415: "The body is of a kind, or has a content-encoding, that is not read.",
    503: "The server is busy or about to end; Retry-After says when to come again.",
}


class Problem(BaseModel):
    """Every refusal."""

    error: str = Field(description="What is wrong and what to do, in one sentence.")


def refusals(*statuses: int, model: type[BaseModel] = Problem) -> dict[int | str, dict[str, Any]]:
    """Answers that tell why there is no other, as FastAPI takes them.

    Args:
        statuses: of HTTP.
        model: of the bodies.
    """
    return {status: {"model": model, "description": _REFUSALS[status]} for status in sorted({*statuses})}
