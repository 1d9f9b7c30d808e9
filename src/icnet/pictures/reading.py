"""Pictures from outside as arrays. Each is decoded in another process: what goes wrong there costs one picture and no more."""

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, cast

import numpy as np

from icnet.base.child import child
from icnet.base.cores import available_cores
from icnet.base.errors import InputError
from icnet.pictures.decoder import COLOURS, INDICES, REPLY, REQUEST, STORED, TOLD
from icnet.pictures.decoding import PLAINER
from icnet.pictures.limits import MAX_PIXELS, TooCostly, seconds_for

_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(8 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}
"""Tells glibc to give the memory of a large picture back to the system, and to keep that of a usual one for the next."""

_PATIENCE = 5
"""A decoder is killed after so many times the processor time that it may take: it waits for a file, or no system limits it."""


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture by its content, whatever its suffix; the orientation that a camera noted (EXIF) is applied.

    Alpha is dropped, 16-bit values keep their high byte, and of several pictures the first one is read.

    Args:
        path: a PNG, JPEG, WebP, BMP, TIFF, AVIF or HEIC file.
        max_pixels: a larger picture is refused by its header, before it takes memory.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: it cannot be read, is too large, takes too much time or memory, or is damaged, cut off or no such picture.
    """
    return _read(path, indices=False, max_pixels=max_pixels)


def read_indices(path: Path) -> np.ndarray:
    """Read a picture whose pixels are numbers and no colours, behind a palette or not, as `read_image` reads others.

    Returns:
        (H, W) uint8.

    Raises:
        InputError: as of `read_image`; or it has several channels, or another depth.
    """
    return _read(path, indices=True, max_pixels=MAX_PIXELS)[:, :, 0]


@dataclass(frozen=True, eq=False)
class Stored:
    """A picture as its file holds it, upright."""

    pixels: np.ndarray
    """(H, W) uint8 or uint16 of one channel, with a palette or not; (H, W, 3) uint8 BGR of several."""
    format: str
    """That of the file, as Pillow calls it, such as PNG."""
    orientation: int
    """The EXIF orientation that has been applied: 1 if none."""
    palette: tuple[tuple[int, int, int], ...] | None
    """Red, green and blue of each number, as far as the file has them."""


def read_stored(path: Path) -> Stored:
    """Read a picture of which it is not known whether its pixels are numbers or colours, as `read_image` reads others.

    Raises:
        InputError: as of `read_image`.
    """
    about: dict[str, Any] = {}
    pixels = _read(path, indices=False, max_pixels=MAX_PIXELS, about=about)
    if pixels.shape[2] == 2:
        pixels = pixels.view("<u2")
    parts = about["palette"]
    palette = None if parts is None else tuple(zip(parts[::3], parts[1::3], parts[2::3], strict=True))
    return Stored(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, about["format"], about["orientation"], palette)


def _read(path: Path, *, indices: bool, max_pixels: int, about: dict[str, Any] | None = None) -> np.ndarray:
    name = os.fsencode(os.path.abspath(path))
    try:
        return _DECODERS.decode(name, is_path=True, indices=indices, max_pixels=max_pixels, about=about)
    except InputError as error:
        raise InputError(f"cannot read {path}: {error}") from error


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a picture in memory as `read_image` reads a file; several threads may do so side by side.

    Args:
        data: a PNG, JPEG, WebP, BMP, TIFF, AVIF or HEIC file.
        max_pixels: a larger picture is refused by its header, before it takes memory.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        TooCostly: it has too many pixels, or takes too much time or memory.
        InputError: it is empty, damaged, cut off or no such picture. Both have the bare reason for their text.
    """
    return _DECODERS.decode(data, is_path=False, indices=False, max_pixels=max_pixels)


def start_decoders(count: int) -> None:
    """Have so many processes ready, for as many threads; others start when they are first needed, one for each core at most."""
    _DECODERS.start(count)


class _Decoders:
    """The processes; each serves one thread at a time, and one that dies is replaced at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._free: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()  # so that few processes do the work of few threads
        for _ in range(most):
            self._free.put(None)

    def start(self, count: int) -> None:
        ready: list[_Decoder | None] = [None] * (count - self._most)
        self._most = max(count, self._most)
        with contextlib.suppress(queue.Empty):
            while len(ready) < count:
                ready.append(self._free.get_nowait())
        for decoder in ready:
            self._free.put(decoder or _Decoder())

    def decode(
        self, content: bytes, *, is_path: bool, indices: bool, max_pixels: int, about: dict[str, Any] | None = None
    ) -> np.ndarray:
        """(H, W, channels) uint8; with `about` as it is stored, and what the file tells is put there."""
        wanted = STORED if about is not None else INDICES if indices else COLOURS
        request = REQUEST.pack(is_path, wanted, len(content), max_pixels), content
        decoder = self._free.get()
        try:
            if decoder is None or decoder.ended:
                decoder = _Decoder()
            return decoder.decode(request, _PATIENCE * seconds_for(max_pixels), about)
        finally:
            if decoder is not None and decoder.ended:
                decoder = None
                with contextlib.suppress(InputError):
                    decoder = _Decoder()
            self._free.put(decoder)

    def close(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if (decoder := self._free.get_nowait()) is not None:
                    decoder.end()


class _Decoder:
    """One process."""

    def __init__(self) -> None:
        command, environment = child("icnet.pictures.decoder")
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment | _MEMORY,
                process_group=0,  # Ctrl-C is for us alone; Linux may give a session a share of the processor as large as ours
            )
        except OSError as error:
            raise InputError(f"no process can be started to decode it ({error.strerror or error}): try again") from error
        self._requests, self._replies = cast(FileIO, self._process.stdin), cast(FileIO, self._process.stdout)

    def decode(self, request: tuple[bytes, bytes], seconds: float, about: dict[str, Any] | None = None) -> np.ndarray:
        """(H, W, channels) uint8; after an error that is no answer the process is dead."""
        watch = threading.Timer(seconds, self._process.kill)
        watch.daemon = True
        watch.start()
        try:
            return self._answer(request, about)
        except (EOFError, OSError) as error:
            self.end()
            raise _cause(self._process.returncode) from error
        except InputError:
            raise
        except BaseException:  # whatever it was, such as Ctrl-C, the rest of the answer is still to come
            self.end()
            raise
        finally:
            watch.cancel()

    def _answer(self, request: tuple[bytes, bytes], about: dict[str, Any] | None) -> np.ndarray:
        for part in request:
            rest = memoryview(part)
            while rest:
                rest = rest[self._requests.write(rest) :]
        head = bytearray(REPLY.size)
        self._fill(memoryview(head))
        channels, width, height = REPLY.unpack(head)
        if channels:
            image = np.empty((height, width, channels), np.uint8)
            self._fill(image.data.cast("B"))
            if about is not None:
                length = bytearray(TOLD.size)
                self._fill(memoryview(length))
                about |= self._json(*TOLD.unpack(length))
            return image
        arguments = self._json(height)
        raise TooCostly(*arguments) if len(arguments) == 2 else InputError(*arguments)

    def _json(self, length: int) -> Any:
        text = bytearray(length)
        self._fill(memoryview(text))
        return json.loads(text)

    def _fill(self, rest: memoryview) -> None:
        while rest:
            count = self._replies.readinto(rest)
            if not count:
                raise EOFError
            rest = rest[count:]

    @property
    def ended(self) -> bool:
        """Whether it died, busy or idle."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._requests.close()
        self._replies.close()
        self._process.wait()


def _cause(returncode: int) -> TooCostly:
    """Why a process ended without an answer."""
    if os.name == "nt" or -returncode in (signal.SIGPROF, signal.SIGKILL):
        return TooCostly("it takes more time or memory to decode than a picture of its size may", PLAINER)
    return TooCostly("it makes its decoder crash", PLAINER)


_DECODERS = _Decoders(available_cores())
atexit.register(lambda: _DECODERS.close())


def _forget() -> None:
    """In a forked process: the pipes to the decoders belong to its parent."""
    global _DECODERS
    _DECODERS = _Decoders(available_cores())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
