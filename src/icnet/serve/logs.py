"""Structured logs: one JSON object per line."""

import json
import logging
import secrets
import string
import time
from typing import Any, TextIO

_LOGGER = logging.getLogger("icnet.serve")

_LONGEST_ID = 64
_ID_SIGNS = frozenset(string.ascii_letters + string.digits + "-_.")


def request_id(given: str | None) -> str:
    """The client's own id, if it can be written into headers and logs as it is; a new one otherwise."""
    if given and len(given) <= _LONGEST_ID and _ID_SIGNS.issuperset(given):
        return given
    return secrets.token_hex(8)


def event(name: str, level: int = logging.INFO, *, trace: BaseException | None = None, **fields: Any) -> None:
    """Log that something happened, under a word such as `request`, with fields that JSON can hold; None is left out.

    `trace` is an exception to be logged with where it came from.
    """
    if _LOGGER.isEnabledFor(level):
        given = {key: value for key, value in fields.items() if value is not None}
        _LOGGER.log(level, "%s", name, extra={"fields": given}, exc_info=trace)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"
        fields: dict[str, Any] = {"time": when, "level": record.levelname.lower(), "event": record.getMessage()}
        if record.name != _LOGGER.name:
            fields["logger"] = record.name
        fields |= getattr(record, "fields", {})
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)


def set_up(stream: TextIO, level: int = logging.INFO) -> None:
    """Send our events and what the libraries log, the latter from warnings on, to `stream`."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _LOGGER.setLevel(level)
