"""Pictures at network addresses."""

import http.client
import threading
import urllib.error
import urllib.request as requests
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from icnet.base.errors import InputError
from icnet.media.connections import OPEN_S
from icnet.media.sources import Source
from icnet.pictures.formats import picture_format
from icnet.pictures.limits import TooCostly
from icnet.pictures.reading import decode_image, read_image

T = TypeVar("T")

FETCH_S = 60.0
"""A picture that has not arrived within so many seconds is given up."""

_HEAD_BYTES = 30
_BYTES_A_PIXEL = 4
_LEAST_BYTES = 1 << 20
"""A file may be so much larger than its pixels."""

_HANDLERS = (
    requests.ProxyHandler,
    requests.HTTPHandler,
    requests.HTTPSHandler,
    requests.HTTPRedirectHandler,
    requests.UnknownHandler,  # refuses what a redirection may lead to but HTTP
    requests.HTTPDefaultErrorHandler,
    requests.HTTPErrorProcessor,
)


def told_apart(sources: list[Source]) -> list[Source]:
    """The sources, of which an address that gives a picture is one, and no stream. What does not answer stays a stream."""
    return [replace(source, kind="image", fetched=True) if _gives_picture(source) else source for source in sources]


def read_picture(source: Source, *, max_pixels: int) -> np.ndarray:
    """Read a picture, wherever it is.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: see `icnet.pictures.reading.read_image`; or it cannot be fetched.
    """
    if not source.remote:
        try:
            return read_image(Path(source.name), max_pixels=max_pixels)
        except InputError as error:
            raise InputError(str(error).replace(source.name, source.shown)) from error
    most = _BYTES_A_PIXEL * max_pixels + _LEAST_BYTES
    try:
        data = _within(FETCH_S, lambda: _received(source.name, most + 1))
        if len(data) > most:
            raise TooCostly(f"it has more than {most >> 20} MiB", "raise --max-megapixels")
        return decode_image(data, max_pixels=max_pixels)
    except InputError as error:
        raise InputError(f"cannot read {source.shown}: {error}") from None


def _gives_picture(source: Source) -> bool:
    if source.kind != "stream" or urlsplit(source.name).scheme not in ("http", "https"):
        return False
    try:
        return picture_format(_within(OPEN_S, lambda: _received(source.name, _HEAD_BYTES))) is not None
    except InputError:  # told when it is opened as a stream
        return False


def _received(url: str, count: int) -> bytes:
    """The first `count` bytes from an address, or all.

    Raises:
        InputError: the bare reason, without the address, which may hold a password.
    """
    parts = urlsplit(url)
    passwords = requests.HTTPPasswordMgrWithDefaultRealm()
    bare = quote(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl(), safe="%/:=&?~#+!$,;'@()*[]")
    passwords.add_password(None, bare, unquote(parts.username or ""), unquote(parts.password or ""))
    opener = requests.OpenerDirector()
    for handler in _HANDLERS:
        opener.add_handler(handler())
    if parts.username:
        opener.add_handler(requests.HTTPBasicAuthHandler(passwords))
        opener.add_handler(requests.HTTPDigestAuthHandler(passwords))
    try:
        with opener.open(bare, timeout=OPEN_S) as response:
            return bytes(response.read(count))
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        text = f"{error.code} {reason}" if isinstance(error, urllib.error.HTTPError) else getattr(reason, "strerror", None)
        raise InputError(f"{text or 'it breaks off'}; check the address, and that its server runs") from None


def _within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` gives; no time-out bounds it, because a server may send a byte now and then, and names take time to look up."""
    done: list[T | BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:  # for the thread that waits
            done.append(error)

    thread = threading.Thread(target=run, name="icnet-remote", daemon=True)
    thread.start()
    thread.join(seconds)
    if not done:
        raise InputError(f"it did not arrive within {seconds:g} s")
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]
