"""The one form of an error over HTTP."""

from starlette.responses import JSONResponse

from icnet.serve.errors import Refused, Unauthorized

_CHALLENGES = ('Basic realm="icnet", charset="UTF-8"', 'Bearer realm="icnet"')
"""Browsers ask for a password at the first."""


def error_response(text: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    """A response that says in one sentence what is wrong."""
    return JSONResponse({"error": text}, status, headers)


def refusal(error: Refused) -> JSONResponse:
    """The response to a request that is refused; it tells when to come again where that is of use."""
    response = error_response(str(error), error.status, error.wait)
    if isinstance(error, Unauthorized):
        for challenge in _CHALLENGES:
            response.headers.append("WWW-Authenticate", challenge)
    return response
