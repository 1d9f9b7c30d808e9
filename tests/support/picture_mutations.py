"""Seeded damage to small pictures of every accepted kind, and a process of its own that tries to read them.

As a script: FOLDER FIRST LAST FAULT LIMIT reads the mutants FIRST to LAST - 1 and prints a line before and after each.
"""

import base64
import faulthandler
import functools
import io
import os
import re
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from icnet.base.errors import InputError
from icnet.pictures.reading import read_image

LIMIT_S = 10.0
"""A picture that takes longer to read hangs."""

KINDS = ("truncated", "flipped", "dimensions", "head", "tail", "blank")
"""Of damage; and some files are "empty"."""


HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAA"
    "AAAERAAAEAAQAAAAABoQABAAAAAAAAAR4AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/WlwcnAA"
    "AADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkA"
    "AAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAA"
    "AAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAS"
    "ZtZGF0AAABGigBrwY44+e97bfjYH//9/8+h/RgKidFb8aVjaq+Z+l9+d/f/+F7E0dInRsz7BekQveEXLaVYaotCUcNn8vYARVc3GE8vyVZT1RV"
    "q/yR/ASSI4L/OCtsC7z0tEeegRBx3q/B/6oA//kyY3xQu/9m7/+iYtvA+gbe/8DiueQ4k99RTpfEE+a7OE+BSMPuUSdiQ2ooLJm/91GQjWfI6M"
    "0X0am5JpGAZXPFMIgHJdmg9vJ8XqhFGw3sI9PzWPx/H2POFf8Jfu3+79sTU7cII535XpQO8VbD1sUsfj+PsecK/4S/dv935yeX2QcGaHYxknMY"
    "8F+MIYxjDJk/p9W1VKw36r1/VYhvPFAQ4m8v+8+l4ZtcvgoOfuQPhkNo4A=="
)
"""A picture of 64x48 in four colours, written with pillow-heif: red, green, blue and nearly white, row by row."""


def encoded(image: Image.Image, name: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


@functools.cache
def originals() -> dict[str, bytes]:
    """Small pictures, whole and good."""
    generator = np.random.default_rng(0)
    smooth = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((64, 48))
    deep = Image.fromarray(generator.integers(0, 65536, (48, 64), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description that does not fit into the entry"
    found = {}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        found[f"PNG {mode}"] = encoded(smooth.convert(mode), "PNG", exif=exif)
    found["PNG 16"] = encoded(deep, "PNG")
    found["PNG animated"] = encoded(smooth, "PNG", save_all=True, append_images=[smooth.rotate(180)])
    for mode in ("L", "RGB", "CMYK"):
        found[f"JPEG {mode}"] = encoded(smooth.convert(mode), "JPEG", exif=exif)
    found["JPEG progressive"] = encoded(smooth, "JPEG", progressive=True)
    found["MPO"] = encoded(smooth, "MPO", save_all=True, append_images=[smooth])
    found["WebP"] = encoded(smooth, "WEBP")
    found["WebP lossless"] = encoded(smooth.convert("RGBA"), "WEBP", lossless=True, exif=exif)
    found["WebP animated"] = encoded(smooth, "WEBP", save_all=True, append_images=[smooth.rotate(180)])
    found["AVIF"] = encoded(smooth.convert("RGBA"), "AVIF", quality=95, exif=exif)
    found["HEIC"] = base64.b64decode(HEIC)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        found[f"BMP {mode}"] = encoded(smooth.convert(mode), "BMP")
    for compression in ("raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        found[f"TIFF {compression}"] = encoded(smooth, "TIFF", compression=compression, tiffinfo={0x0112: 8}, exif=exif)
    for mode in ("1", "LA", "P", "CMYK", "YCbCr"):
        found[f"TIFF {mode}"] = encoded(smooth.convert(mode), "TIFF")
    found["TIFF group 4"] = encoded(smooth.convert("1"), "TIFF", compression="group4")
    found["TIFF 16"] = encoded(deep, "TIFF")
    found["TIFF big"] = encoded(smooth, "TIFF", big_tiff=True)
    found["TIFF pages"] = encoded(smooth, "TIFF", save_all=True, append_images=[smooth])
    return found


def resized(data: bytes, width: int | None, height: int | None) -> bytes:
    """The same file with other dimensions in its header, cut to the bits that there are for them; None leaves one."""
    out = bytearray(data)
    spots: list[tuple[int, str, int, int | None]] = []  # offset, format, what the stored number is less, value
    if data[:4] == b"\x89PNG":
        spots = [(16, ">I", 0, width), (20, ">I", 0, height)]
    elif data[:2] == b"\xff\xd8":
        start = next(i for i in range(2, len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC1, 0xC2))
        spots = [(start + 7, ">H", 0, width), (start + 5, ">H", 0, height)]
    elif data[:2] == b"BM":
        spots = [(18, "<I", 0, width), (22, "<I", 0, height)]
    elif data[12:16] == b"VP8X":
        spots = [(24, "<3", 1, width), (27, "<3", 1, height)]
    elif data[12:16] == b"VP8 ":
        spots = [(26, "<H", 0, width), (28, "<H", 0, height)]
    elif data[4:8] == b"ftyp":
        start = data.index(b"ispe") + 8
        spots = [(start, ">I", 0, width), (start + 4, ">I", 0, height)]
    else:
        large = data[2] == 43
        (start,) = struct.unpack_from("<Q" if large else "<I", data, 8 if large else 4)
        (count,) = struct.unpack_from("<Q" if large else "<H", data, start)
        first, step, value = (start + 8, 20, 12) if large else (start + 2, 12, 8)
        for entry in range(first, first + count * step, step):
            (tag,) = struct.unpack_from("<H", data, entry)
            if tag in (256, 257):
                struct.pack_into("<H", out, entry + 2, 4)  # a long, whatever it was
                spots.append((entry + value, "<I", 0, width if tag == 256 else height))
    for offset, form, less, number in spots:
        if number is not None:
            bits = {"H": 16, "3": 24, "I": 32}[form[1]]
            raw = (max(number - less, 0) & (1 << bits) - 1).to_bytes(bits // 8, "big" if form[0] == ">" else "little")
            out[offset : offset + len(raw)] = raw
    if data[:4] == b"\x89PNG":
        out[29:33] = struct.pack(">I", zlib.crc32(out[12:29]))
    return bytes(out)


def mutant(seed: int) -> tuple[str, bytes]:
    """Kind of damage and the damaged file."""
    generator = np.random.default_rng(seed)
    names = sorted(originals())
    name = names[generator.integers(len(names))]
    data = bytearray(originals()[name])
    kind = "empty" if seed % 50 == 0 else KINDS[generator.integers(len(KINDS))]
    place = int(generator.integers(len(data)))
    if kind == "truncated":
        del data[place:]
    elif kind == "flipped":
        for bit in generator.integers(8 * (len(data) if seed % 2 else min(len(data), 300)), size=generator.integers(1, 20)):
            data[bit // 8] ^= 1 << bit % 8
    elif kind == "dimensions":
        number = int(generator.choice([0, 1, 47, 49, 63, 65, 100, 1000, 20_000, 65_535, 2**24, 2**31 - 1, 2**32 - 1]))
        which = generator.integers(3)
        data = bytearray(resized(bytes(data), number if which != 1 else None, number if which != 0 else None))
    elif kind == "head":
        data[: generator.integers(1, 64)] = generator.bytes(generator.integers(1, 64))
    elif kind == "tail":
        data += generator.bytes(generator.integers(1, 5000))
    elif kind == "blank":
        data[place : place + 200] = bytes(len(data[place : place + 200]))
    else:
        data.clear()
    return f"{kind} {name}", bytes(data)


@dataclass
class Outcome:
    """What became of some mutants."""

    read: Counter[str] = field(default_factory=Counter)
    """Kind of damage to the number of pictures that could be read all the same."""
    refused: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""


def read_mutants(folder: Path, seeds: range, *, fault: str = "", limit_s: float = LIMIT_S) -> Outcome:
    """Read mutants in a process of its own.

    Raises:
        AssertionError: one hangs, ends the process, prints or raises anything but an InputError; the text names its seed.
    """
    command = [sys.executable, __file__, str(folder), str(seeds.start), str(seeds.stop), fault, str(limit_s)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s * len(seeds) + 60)
    lines = done.stdout.splitlines()
    last = lines[-1] if lines else "no mutant"
    assert done.returncode == 0, f"exit code {done.returncode} at {last}\n{done.stderr}"
    assert done.stderr == "", f"something was printed before {last}\n{done.stderr}"
    outcome = Outcome()
    for line in lines:
        seed, result, seconds, what = line.split(maxsplit=3)
        if result != "begins":
            getattr(outcome, result)[what.split()[0]] += 1
            if float(seconds) > outcome.slowest_s:
                outcome.slowest_s, outcome.slowest = float(seconds), f"seed {seed}: {what}"
    assert outcome.read.total() + outcome.refused.total() == len(seeds), last
    return outcome


def misbehave(fault: str, limit_s: float) -> None:
    """What a reader must not do, for the negative controls."""
    if fault == "raise":
        raise ValueError("not an InputError")
    if fault == "exit":
        os._exit(0)
    if fault == "abort":
        os.abort()
    if fault == "hang":
        time.sleep(limit_s + 60)
    if fault == "print":
        os.write(2, b"libpicture: warning\n")


def main(folder: str, first: str, last: str, fault: str, limit_s: str) -> None:
    stderr = os.fdopen(os.dup(2), "w")  # the reader may have silenced the one of that number when the process dies
    faulthandler.enable(stderr)
    path = Path(folder, f"mutant-{first}")
    for seed in range(int(first), int(last)):
        what, data = mutant(seed)
        print(seed, "begins", 0, what, flush=True)
        path.write_bytes(data)
        faulthandler.dump_traceback_later(float(limit_s), exit=True, file=stderr)
        start = time.perf_counter()
        try:
            if seed == int(last) - 1:
                misbehave(fault, float(limit_s))
            image = read_image(path)
            result, problem = "read", ""
        except InputError as error:
            result, problem = "refused", str(error)
        faulthandler.cancel_dump_traceback_later()
        if result == "read":
            assert (image.dtype, image.shape[2:], image.flags.c_contiguous) == (np.uint8, (3,), True)
        else:
            assert problem.startswith(f"cannot read {path}: "), problem
            assert "\n" not in problem, problem
            assert not re.search("crash|more time", problem), problem  # of the decoder
        print(seed, result, f"{time.perf_counter() - start:.4f}", what, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
