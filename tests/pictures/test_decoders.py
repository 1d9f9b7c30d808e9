"""What decoders do to the program when they are killed, crash, or are given what costs too much."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from icnet.base.errors import InputError
from icnet.pictures import reading
from icnet.pictures.limits import TooCostly
from load.costly import chunks, comments, encoded, passes, tile

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
GOOD = encoded(Image.fromarray(PICTURE[:, :, ::-1]), "PNG")

posix = pytest.mark.skipif(os.name == "nt", reason="this system has no such signals")


@pytest.fixture
def decoders():
    several = reading._Decoders(2)
    yield several
    several.close()


def decode(decoders: reading._Decoders, data: bytes, **options) -> np.ndarray:
    return decoders.decode(data, **{"is_path": False, "indices": False, "max_pixels": 16_000_000} | options)


def processes(decoders: reading._Decoders) -> list[subprocess.Popen[bytes]]:
    return [each._process for each in decoders._free.queue if each is not None]


@pytest.mark.parametrize(
    ("dear", "cheap", "said"),
    [
        (chunks(2000), chunks(900), r"it has more than 10\d\d parts"),
        (comments(2000), comments(900), r"it has more than 10\d\d parts"),
        (passes(40), passes(20), "it has more than 32 passes"),
        (tile(32768), tile(16), r"it has 1073.7 megapixels \(32768x32768\), more than the 16 allowed"),
    ],
)
def test_what_costs_more_than_its_pixels_is_refused_by_its_parts(decoders, dear, cheap, said):
    with pytest.raises(TooCostly, match=said):
        decode(decoders, dear)
    assert decode(decoders, cheap).size
    assert len(processes(decoders)) == 1, "the decoder lives on"


def test_data_behind_a_picture_are_no_passes(decoders):
    """Telephones put a film there, in which any two bytes occur."""
    assert decode(decoders, encoded(Image.fromarray(PICTURE), "JPEG") + b"\xff\xda" * 1000).shape == (30, 40, 3)


SLOW = comments(2_000_000, padded=True)
"""Its header takes seconds."""


@posix
def test_a_picture_that_takes_too_long_is_refused_by_the_system(decoders):
    with pytest.raises(TooCostly, match="it takes more time or memory to decode than a picture of its size may"):
        decode(decoders, SLOW)
    replaced = processes(decoders)
    assert len(replaced) == 1
    assert np.array_equal(decode(decoders, GOOD), PICTURE)
    assert processes(decoders) == replaced, "a new one was there already"


@posix
def test_a_decoder_that_waits_is_killed(decoders, monkeypatch):
    decode(decoders, GOOD)
    os.kill(processes(decoders)[0].pid, signal.SIGSTOP)
    with monkeypatch.context() as patched:
        patched.setattr(reading, "seconds_for", lambda _: 0.1)
        with pytest.raises(TooCostly):
            decode(decoders, GOOD)
    assert np.array_equal(decode(decoders, GOOD), PICTURE)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not limit memory")
def test_memory_is_limited_while_a_picture_is_decoded():
    code = """
from icnet.pictures.decoder import _Limits
limits = _Limits()
limits.set(1_000_000, 0)
bytearray(70 << 20)
try:
    bytearray(100 << 20)
except MemoryError:
    limits.lift()
    print(len(bytearray(100 << 20)))
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == f"{100 << 20}\n"


def test_a_large_webp_is_within_the_limits(decoders):
    """Of good pictures it takes the most memory, and already when it is opened; turned even more."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (5000, 3000)), "WEBP", exif=exif, lossless=True, quality=0, method=0)
    assert decode(decoders, data).shape == (5000, 3000, 3)


@posix
def test_a_decoder_that_crashes_is_one_refused_picture(decoders):
    decode(decoders, GOOD)
    (process,) = processes(decoders)
    with ThreadPoolExecutor(1) as pool:
        refused = pool.submit(decode, decoders, SLOW)
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGSEGV)
        with pytest.raises(TooCostly, match="it makes its decoder crash: convert it to a plain PNG or JPEG"):
            refused.result()
    assert np.array_equal(decode(decoders, GOOD), PICTURE)


@posix
def test_a_decoder_that_dies_at_rest_costs_no_picture(decoders):
    decode(decoders, GOOD)
    (process,) = processes(decoders)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # which are meant for the program
        os.kill(process.pid, number)
    assert np.array_equal(decode(decoders, GOOD), PICTURE)
    assert processes(decoders) == [process]
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert np.array_equal(decode(decoders, GOOD), PICTURE)


def test_a_decoder_that_cannot_be_started_costs_one_picture(decoders, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        for _ in range(3):
            with pytest.raises(InputError, match=r"no process can be started to decode it \(Resource temporarily unavailable\)"):
                decode(decoders, GOOD)
    assert np.array_equal(decode(decoders, GOOD), PICTURE)


def test_decoders_that_are_ready_are_not_started_again(decoders):
    for _ in range(2):
        decoders.start(3)
        ready = processes(decoders)
        assert len(ready) == decoders._free.qsize() == 3
    decode(decoders, GOOD)
    assert processes(decoders) == ready


def test_pictures_are_decoded_side_by_side(decoders, monkeypatch):
    together, alone = threading.Barrier(2), reading._Decoder.decode

    def meeting(*arguments: object, **options: object) -> np.ndarray:
        together.wait(timeout=10)  # does not come back if one thread keeps the other out
        return alone(*arguments, **options)

    monkeypatch.setattr(reading._Decoder, "decode", meeting)
    with ThreadPoolExecutor(2) as pool:
        for image in pool.map(lambda data: decode(decoders, data), [GOOD] * 6):
            assert np.array_equal(image, PICTURE)
    assert len(processes(decoders)) == 2


def test_no_module_is_taken_from_the_present_folder(tmp_path):
    (tmp_path / "PIL.py").write_text("open('taken', 'w')")
    (tmp_path / "good.png").write_bytes(GOOD)
    code = "from pathlib import Path; from icnet.pictures.reading import read_image; print(read_image(Path('good.png')).shape)"
    said = subprocess.check_output([sys.executable, "-P", "-c", code], cwd=tmp_path, text=True)
    assert said == "(30, 40, 3)\n"
    assert not (tmp_path / "taken").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_decoders_of_its_own(tmp_path):
    (tmp_path / "good.png").write_bytes(GOOD)
    code = """
import os, sys
from pathlib import Path
from icnet.pictures.reading import read_image
path = Path(sys.argv[1])
sums = [read_image(path).sum()]
child = os.fork()
for _ in range(20):
    sums.append(read_image(path).sum())
print(len(set(sums)), flush=True)
if child:
    os.wait()
"""
    assert subprocess.check_output([sys.executable, "-c", code, tmp_path / "good.png"], text=True) == "1\n1\n"
