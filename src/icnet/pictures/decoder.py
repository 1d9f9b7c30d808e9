"""A process that decodes pictures: `python -m icnet.pictures.decoder`, fed through its standard input until that ends.

It loads nothing but Pillow, so that it is small and starts in a tenth of a second. The system limits what a picture may cost
where it can (on Linux, and the time on macOS): a decoder that goes beyond is killed, or finds no memory.
"""

import contextlib
import json
import os
import signal
import struct
import sys
from io import BytesIO
from typing import BinaryIO

from PIL.Image import Image

from icnet.base.errors import InputError
from icnet.pictures.decoding import EXPECTED, PLAINER, loaded, opened, reason, stored, strips, told, use_pillow_strictly
from icnet.pictures.limits import TooCostly, bytes_for, seconds_for

REQUEST = struct.Struct("=?BQQ")
"""Whether a path follows and not a file's content, what is wanted, how many bytes follow, and the most pixels."""

COLOURS, INDICES, STORED = range(3)
"""What may be wanted: BGR, one channel of numbers, or the pixels as they are stored, with what the file tells about them."""

REPLY = struct.Struct("=BII")
"""Channels, width and height of the picture that follows; or 0, 0 and the length of the JSON array that follows: the arguments of
`InputError`, or of `TooCostly` if there are two."""

TOLD = struct.Struct("=I")
"""Behind the pixels of a stored picture: the length of the JSON object of `told` that follows."""

_OUT, _PIPE_BYTES = 1, 1 << 18


class _Limits:
    """Those of this process, anew for each picture."""

    def __init__(self) -> None:
        self._idle_bytes = _address_space()

    def set(self, pixels: int, file_bytes: int) -> None:
        """Allow from now on what a picture of so many pixels may cost."""
        self._change(seconds_for(pixels), self._idle_bytes + bytes_for(pixels, file_bytes))

    def lift(self) -> None:
        """Until the next picture."""
        self._change(0, None)

    def _change(self, seconds: float, most_bytes: int | None) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, seconds)  # nobody handles its signal, which ends the process
        if self._idle_bytes:
            import resource

            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            with contextlib.suppress(ValueError):  # the administrator allows even less
                resource.setrlimit(resource.RLIMIT_AS, (hard if most_bytes is None else most_bytes, hard))


def _address_space() -> int:
    """Bytes of this process; 0 if the system does not tell, and then it does not limit them either."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def main() -> None:
    """Answer requests one after another."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # who started us closes our input when it has had what it needs
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
    requests = sys.stdin.buffer
    _widen(_OUT)
    use_pillow_strictly()
    limits = _Limits()
    while header := requests.read(REQUEST.size):
        is_path, wanted, length, max_pixels = REQUEST.unpack(header)
        content = requests.read(length)
        if len(content) < length:
            return
        try:
            image = _decoded(content, is_path, max_pixels, limits)
            if wanted == INDICES and image.mode not in ("L", "P"):
                raise InputError("expected one 8-bit channel of class indices, not colours")
        except InputError as error:
            _refuse(error)
        except MemoryError:
            _refuse(TooCostly("it takes more memory than a picture of its size may", PLAINER))
        except Exception as error:  # damaged files make Pillow raise nearly everything, from KeyError to struct.error
            _refuse(InputError(reason(error)))
        else:
            channels, pixels = (3, strips(image)) if wanted == COLOURS else stored(image)
            _write(REPLY.pack(channels, *image.size))
            for strip in pixels:
                _write(strip)
            if wanted == STORED:
                text = json.dumps(told(image)).encode()
                _write(TOLD.pack(len(text)) + text)
            del image
        limits.lift()
        del content


def _decoded(content: bytes, is_path: bool, max_pixels: int, limits: _Limits) -> Image:
    with _source(content, is_path) as file:
        file_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        limits.set(0, file_bytes)
        return loaded(opened(file, max_pixels, lambda pixels: limits.set(pixels, file_bytes)), file)


def _source(content: bytes, is_path: bool) -> BinaryIO:
    if not is_path:
        return BytesIO(content)
    if not os.path.isfile(content):  # a pipe might never give anything
        os.stat(content)
        raise InputError(f"it is no file; {EXPECTED}")
    return open(content, "rb")


def _refuse(error: InputError) -> None:
    arguments = [error.fact, error.advice] if isinstance(error, TooCostly) else [str(error)]
    text = json.dumps(arguments).encode()
    _write(REPLY.pack(0, 0, len(text)) + text)


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(_OUT, rest) :]


def _widen(pipe: int) -> None:
    """Fewer changes between the two processes for each picture, where the system lets us."""
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass


if __name__ == "__main__":
    main()
