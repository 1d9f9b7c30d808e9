"""JSON documents of labelling tools, looked at before they are read."""

import json
import re
from pathlib import Path
from typing import Any

from icnet.base.errors import DataError

_HEAD = 4096


def head(path: Path) -> str:
    """The first characters of a file; nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_HEAD).decode("utf-8-sig", "replace")
    except OSError:
        return ""


def first_key(path: Path) -> tuple[str, str]:
    """The bracket that a JSON file begins with, and the first key in it."""
    match = re.match(r'\s*([\[{])\s*\{?\s*"([^"]*)"', head(path))
    return (match[1], match[2]) if match else ("", "")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({' '.join(str(error).split())[:100]}): export it again") from error
