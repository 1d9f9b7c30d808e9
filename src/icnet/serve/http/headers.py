"""Headers that tell which model made an answer."""

from typing import Any
from urllib.parse import quote

from icnet.serve.models import Served

MODEL_HEADERS: dict[str, Any] = {
    "X-Model-Name": {
        "description": "Of the model that made the answer; percent-encoded as UTF-8 unless it is printable ASCII.",
        "schema": {"type": "string"},
    },
    "X-Model-Version": {
        "description": "Of that model: the beginning of its files' SHA-256.",
        "schema": {"type": "string"},
    },
}
"""As OpenAPI describes them."""


def model_headers(served: Served) -> dict[str, str]:
    """Those of an answer. A file may be called anything, so the name is encoded where headers cannot hold it."""
    name = served.name
    return {
        "X-Model-Name": name if name.isascii() and name.isprintable() else quote(name),
        "X-Model-Version": served.version,
    }
