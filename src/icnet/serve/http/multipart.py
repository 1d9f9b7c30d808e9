"""The picture in a multipart/form-data body (RFC 7578), taken out in memory; file names are never looked at."""

import logging

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from icnet.serve.errors import BadRequest

FIELD = "image"
"""Name of the one part that is expected."""

_EXPECTED = f"expected one part called {FIELD}, as curl -F {FIELD}=@street.jpg sends it"

_DELIMITERS = 8
"""Most that are looked at, each by a loop in Python. A form of one part has two: clients choose one that is not in the data."""

_HEADERS, _HEADER_BYTES = 8, 16 * 1024
"""Most headers of a part, and the longest of them: room for a file name of 10 kB."""

_SILENT = logging.Logger("multipart", logging.CRITICAL + 1)
"""What is wrong is told to the client; no client can fill our logs with it."""


def picture_part(body: bytes, content_type: str) -> bytes:
    """Take the picture out of a form.

    Args:
        body: complete.
        content_type: the header, which names the boundary.

    Returns:
        The content of the part called `image`.

    Raises:
        BadRequest: the body is no such form, is cut off, or does not consist of that one part.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise BadRequest("multipart/form-data without a boundary: let your HTTP client write the Content-Type header")
    if body.count(b"\r\n--" + boundary) > _DELIMITERS:
        raise BadRequest(f"the form has too many parts: {_EXPECTED}")
    form = _Form()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.begin_part,
                "on_header_field": form.add_name,
                "on_header_value": form.add_value,
                "on_header_end": form.end_header,
                "on_headers_finished": form.check_name,
                "on_part_data": form.add_content,
                "on_end": form.end,
            },
            max_header_count=_HEADERS,
            max_header_size=_HEADER_BYTES,
        )
        parser.logger = _SILENT
        parser.write(body)
    except FormParserError as error:
        raise BadRequest(f"the body is no valid multipart/form-data: {_EXPECTED}") from error
    if not form.complete:
        raise BadRequest("the form is cut off: its closing boundary is missing")
    if form.parts == 0:
        raise BadRequest(f"the form is empty: {_EXPECTED}")
    return b"".join(form.pieces)


class _Form:
    """Collects what the parser finds, and refuses what is not expected."""

    def __init__(self) -> None:
        self.parts, self.complete = 0, False
        self.pieces: list[bytes] = []
        self._name, self._value, self._disposition = b"", b"", b""

    def begin_part(self) -> None:
        self.parts += 1
        if self.parts > 1:
            raise BadRequest(f"the form has more than one part: {_EXPECTED}")

    def add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def check_name(self) -> None:
        if parse_options_header(self._disposition)[1].get(b"name") != FIELD.encode():
            raise BadRequest(f"the part of the form has another name: {_EXPECTED}")

    def add_content(self, data: bytes, start: int, end: int) -> None:
        self.pieces.append(data[start:end])

    def end(self) -> None:
        self.complete = True
