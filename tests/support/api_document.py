"""The API document as a client reads it."""

import json
from pathlib import Path
from typing import Any

import icnet.serve


def api_document() -> dict[str, Any]:
    """The document, with what it refers to in place, but for schemas."""
    document = json.loads(Path(icnet.serve.__file__).with_name("openapi.json").read_text("utf-8"))

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(part) for part in value]
        if not isinstance(value, dict):
            return value
        kind, _, name = value.get("$ref", "").removeprefix("#/components/").partition("/")
        if name and kind != "schemas":
            return resolved(document["components"][kind][name])
        return {key: resolved(part) for key, part in value.items()}

    return resolved(document)
