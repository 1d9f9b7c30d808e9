import io
import os
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_mutations import encoded, originals, read_mutants, resized
from PIL import Image

from icnet.base.errors import InputError
from icnet.pictures import decoding
from icnet.pictures.limits import MAX_PIXELS, TooCostly
from icnet.pictures.reading import decode_image, read_image, read_indices

GENERATOR = np.random.default_rng(0)
SMOOTH = np.asarray(Image.fromarray(GENERATOR.integers(0, 256, (3, 4, 3), dtype=np.uint8)).resize((40, 30)))
"""(30, 40, 3) uint8 RGB, different under every turn, which a lossy format keeps well."""
PICTURE = GENERATOR.integers(0, 256, (30, 40, 3), dtype=np.uint8)
DEEP = GENERATOR.integers(0, 65536, (30, 40, 4), dtype=np.uint16)

STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""EXIF orientation to what the file of an upright picture then holds."""


def read(folder: Path, data: bytes, **options) -> np.ndarray:
    """(H, W, 3) RGB, read under a name that says nothing."""
    path = folder / "x.bin"
    path.write_bytes(data)
    image = read_image(path, **options)
    assert (image.dtype, image.flags.c_contiguous, image.flags.writeable) == (np.uint8, True, True)
    return image[:, :, ::-1]


def refusal(folder: Path, data: bytes, **options) -> str:
    with pytest.raises(InputError, match=r"^cannot read .*x\.bin: .") as caught:
        read(folder, data, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def differs(image: np.ndarray, expected: np.ndarray) -> int:
    """Largest difference of two pictures; 256 if they have different sizes."""
    return int(np.abs(image.astype(int) - expected).max()) if image.shape == expected.shape else 256


def with_orientation(image: np.ndarray, name: str, orientation: int, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(np.ascontiguousarray(image)), name, exif=exif, **options)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 20),
        ("JPEG", {"quality": 98, "subsampling": 0}, 8),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
    ],
)
def test_every_orientation_is_made_upright(tmp_path, orientation, name, options, tolerance):
    stored = STORED[orientation](SMOOTH)
    assert differs(read(tmp_path, with_orientation(stored, name, orientation, **options)), SMOOTH) <= tolerance
    ignored = read(tmp_path, with_orientation(stored, name, 1, **options))
    assert (differs(ignored, SMOOTH) > 50) == (orientation != 1)  # so a reader that ignores it is noticed


def test_the_orientation_behind_the_pixels_of_a_png_counts(tmp_path):
    data = with_orientation(STORED[6](SMOOTH), "PNG", 6)
    at = data.index(b"eXIf") - 4
    chunk = data[at : at + 12 + struct.unpack_from(">I", data, at)[0]]
    assert differs(read(tmp_path, data.replace(chunk, b"")[:-12] + chunk + data[-12:]), SMOOTH) == 0


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_unknown_orientations_mean_upright(tmp_path, orientation):
    for name in ("PNG", "TIFF"):
        assert differs(read(tmp_path, with_orientation(SMOOTH, name, orientation)), SMOOTH) == 0


@pytest.mark.parametrize("name", ["PNG", "WEBP", "JPEG"])
def test_damaged_exif_does_not_spoil_a_picture(tmp_path, name):
    generator = np.random.default_rng(1)
    whole = encoded(Image.fromarray(SMOOTH), name, exif=b"Exif\0\0" + bytes(60))
    expected = read(tmp_path, whole)
    for head in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08\0\x02", b"MM\0*\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"):
        junk = head + generator.bytes(60 - len(head))
        exif = b"Exif\0\0" + junk
        data = encoded(Image.fromarray(SMOOTH), name, exif=exif)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of some
            assert differs(read(tmp_path, data), expected) == 0, (name, exif)


LOSSLESS = [
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
    ("PNG", "P", {"transparency": 3}),
    ("PNG", "P", {"transparency": bytes(range(256))}),
    ("PNG", "RGB", {"transparency": (1, 2, 3)}),
    *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("WEBP", mode, {"lossless": True, "exact": True}) for mode in ("L", "RGB", "RGBA")),
    *(("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")),
    *(("TIFF", mode, {"compression": "tiff_adobe_deflate"}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")),
    ("TIFF", "RGB", {"big_tiff": True}),
    ("TIFF", "1", {"compression": "group4"}),
]


@pytest.mark.parametrize(("name", "mode", "options"), LOSSLESS)
def test_every_kind_of_pixels_becomes_rgb(tmp_path, name, mode, options):
    picture = Image.fromarray(PICTURE)
    if mode in ("LA", "RGBA"):
        picture.putalpha(Image.fromarray(PICTURE[:, :, 0]))
    picture = picture.convert(mode)
    assert differs(read(tmp_path, encoded(picture, name, **options)), np.asarray(picture.convert("RGB"))) == 0


def test_pixels_that_are_numbers_are_left_alone(tmp_path):
    numbers = Image.fromarray(PICTURE[:, :, 0])
    behind_palette = numbers.copy()
    behind_palette.putpalette(GENERATOR.bytes(768))
    for name, picture in {"grey": numbers, "palette": behind_palette}.items():
        (tmp_path / name).write_bytes(encoded(picture, "PNG"))
        assert np.array_equal(read_indices(tmp_path / name), PICTURE[:, :, 0]), name
    (tmp_path / "x").write_bytes(encoded(Image.fromarray(PICTURE), "PNG"))
    with pytest.raises(InputError, match=r"cannot read .*x: expected one 8-bit channel of class indices, not colours"):
        read_indices(tmp_path / "x")


@pytest.mark.parametrize(("name", "mode"), [("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("MPO", "RGB"), ("TIFF", "YCbCr")])
def test_lossy_kinds_of_pixels_become_nearly_their_rgb(tmp_path, name, mode):
    picture = Image.fromarray(SMOOTH).convert(mode)
    options = {} if name == "TIFF" else {"quality": 98, "subsampling": 0}
    image = read(tmp_path, encoded(picture, name, **options))
    assert differs(image, np.asarray(picture.convert("RGB"))) < 12


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_keep_their_high_byte(tmp_path, suffix, channels):
    data = cv2.imencode(suffix, DEEP[:, :, :channels])[1].tobytes()
    expected = (DEEP[:, :, :3][:, :, ::-1] >> 8) if channels > 1 else np.repeat(DEEP[:, :, :1] >> 8, 3, 2)
    assert differs(read(tmp_path, data), expected) == 0
    assert expected.min() == 0
    assert expected.max() == 255


def test_16_bit_grey_with_the_high_byte_first(tmp_path):
    grey = Image.frombytes("I;16B", (40, 30), DEEP[:, :, 0].astype(">u2").tobytes())
    assert differs(read(tmp_path, encoded(grey, "TIFF")), np.repeat(DEEP[:, :, :1] >> 8, 3, 2)) == 0


def tiff(strips: list[bytes], bits: list[int], photometric: int, *, planar: int = 1) -> bytes:
    """An uncompressed TIFF of 40x30 pixels by the bytes of its strips: layouts that Pillow does not write."""
    offsets = [8 + sum(map(len, strips[:index])) for index in range(len(strips))]
    tags = {256: [40], 257: [30], 258: bits, 259: [1], 262: [photometric], 273: offsets, 277: [len(bits)], 278: [30]}
    tags |= {279: [len(strip) for strip in strips], 284: [planar]}
    body = b"".join(strips)
    entries, beyond = b"", b""
    for tag, values in tags.items():
        raw = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            beyond += raw
            raw = struct.pack("<I", 8 + len(body) + 2 + 12 * len(tags) + 4 + len(beyond) - len(raw))
        entries += struct.pack("<HHI", tag, 4, len(values)) + raw
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4) + beyond


def test_rare_layouts_of_tiff(tmp_path):
    planes = [DEEP[:, :, channel].astype("<u2").tobytes() for channel in range(3)]
    assert differs(read(tmp_path, tiff(planes, [16] * 3, 2, planar=2)), DEEP[:, :, :3] >> 8) == 0
    luma = PICTURE[:, :, 0]
    blocks = b"".join(luma[y : y + 2, x : x + 2].tobytes() + b"\x64\x96" for y in range(0, 30, 2) for x in range(0, 40, 2))
    ycbcr = np.dstack([luma, np.full_like(luma, 0x64), np.full_like(luma, 0x96)])
    expected = cv2.cvtColor(ycbcr[:, :, [0, 2, 1]], cv2.COLOR_YCrCb2RGB)
    assert differs(read(tmp_path, tiff([blocks], [8] * 3, 6)), expected) <= 2


def test_kinds_of_pixels_without_a_plain_meaning_are_refused(tmp_path):
    grey = np.zeros((30, 40), np.int32)
    refused = [encoded(Image.fromarray(grey), "TIFF"), encoded(Image.fromarray(grey.astype(np.float32)), "TIFF")]
    refused += [encoded(Image.new("LAB", (40, 30)), "TIFF"), tiff([bytes(2400)], [16], 0), tiff([bytes(1800)], [12], 1)]
    for data in refused:
        assert "expected 8 or 16 bits per channel: convert it to 8-bit RGB" in refusal(tmp_path, data)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "MPO", "TIFF"])
def test_of_several_pictures_the_first_one_is_read(tmp_path, name):
    options = {"quality": 98, "subsampling": 0} if name == "MPO" else {"lossless": True} if name == "WEBP" else {}
    data = encoded(Image.fromarray(SMOOTH), name, save_all=True, append_images=[Image.fromarray(SMOOTH[::-1])], **options)
    assert differs(read(tmp_path, data), SMOOTH) < 8


def test_large_pictures_are_given_in_strips(monkeypatch):
    monkeypatch.setattr(decoding, "_STRIP_PIXELS", 300)
    pictures = {mode: Image.fromarray(PICTURE).convert(mode) for mode in ("RGB", "P", "L")}
    expected = {mode: np.asarray(picture.convert("RGB"))[:, :, ::-1] for mode, picture in pictures.items()}
    for mode in ("I;16", "I;16B"):
        pictures[mode] = Image.frombytes(mode, (40, 30), DEEP[:, :, 0].astype(">u2" if mode == "I;16B" else "<u2").tobytes())
        expected[mode] = np.repeat(DEEP[:, :, :1] >> 8, 3, 2)
    for mode, picture in pictures.items():
        strips = list(decoding.strips(picture))
        assert len(strips) == 5
        assert differs(np.frombuffer(b"".join(strips), np.uint8).reshape(30, 40, 3), expected[mode]) == 0, mode


@pytest.mark.parametrize("name", ["ü 道.jpg", os.fsdecode(b"\xff\xfe.png"), "x.mp4", "x"])
def test_any_name_will_do(tmp_path, name):
    try:
        (tmp_path / name).write_bytes(encoded(Image.fromarray(PICTURE), "PNG"))
    except (OSError, UnicodeError):
        pytest.skip("this system has no such names")
    assert differs(read_image(tmp_path / name), PICTURE[:, :, ::-1]) == 0


def test_heic_is_read_in_its_colours(tmp_path):
    middles = read(tmp_path, originals()["HEIC"])[12::24, 16::32].reshape(4, 3)
    assert np.abs(middles.astype(int) - [(220, 60, 40), (40, 200, 60), (40, 60, 220), (230, 230, 230)]).max() < 12


def test_heic_without_its_package_is_one_line(monkeypatch):
    monkeypatch.delitem(decoding._READERS, "HEIC", raising=False)
    with pytest.raises(InputError, match=r"it is HEIC, which needs one more package: pip install 'icnet\[heic\]'"):
        decoding.opened(io.BytesIO(originals()["HEIC"]), 10_000, lambda pixels: None)


def test_a_large_avif_is_within_its_limits(tmp_path):
    large = Image.fromarray(PICTURE).resize((3000, 2000), Image.Resampling.BICUBIC)
    assert read(tmp_path, encoded(large, "AVIF", speed=10, quality=80)).shape == (2000, 3000, 3)


@pytest.mark.parametrize("name", ["GIF", "PPM", "JPEG2000", "ICO", "TGA"])
def test_other_kinds_are_refused_by_content(tmp_path, name):
    line = refusal(tmp_path, encoded(Image.fromarray(PICTURE), name))
    assert "expected a PNG, JPEG, WebP, BMP, TIFF, AVIF or HEIC picture" in line


def test_what_is_no_file_is_one_line(tmp_path):
    assert "the file is empty" in refusal(tmp_path, b"")
    assert "it is no picture that can be read" in refusal(tmp_path, b"no picture")
    with pytest.raises(InputError, match=r"cannot read .*: it is no file"):
        read_image(tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*missing\.png: No such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(InputError, match=r"cannot read .*: File name too long"):
        read_image(tmp_path / ("x" * 300))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(InputError, match=r"cannot read .*pipe\.png: it is no file"):
            read_image(tmp_path / "pipe.png")


def test_an_error_of_the_system_is_told_in_its_words():
    assert decoding.reason(PermissionError(13, "Permission denied")) == "Permission denied"


CUT = [
    "PNG RGB",
    "JPEG RGB",
    "JPEG progressive",
    "MPO",
    "WebP",
    "AVIF",
    "HEIC",
    "BMP RGB",
    "TIFF raw",
    "TIFF tiff_lzw",
    "TIFF jpeg",
    "TIFF group 4",
]


@pytest.mark.parametrize("name", CUT)
def test_a_picture_that_is_cut_off_is_an_error(tmp_path, capfd, name):
    data = originals()[name]
    whole = read(tmp_path, data)
    end = data.index(b"\xff\xd9") + 2 if name == "MPO" else len(data)  # the second picture is not read
    for length in [*np.linspace(1, end - 20, 40).astype(int), *range(end - 20, end)]:
        try:
            image = read(tmp_path, data[:length])
        except InputError:
            continue
        assert length > end - 20, f"{length} of {end} bytes were taken for a picture"
        assert differs(image, whole) == 0, f"{length} of {end} bytes became another picture"
    assert capfd.readouterr() == ("", "")


def test_a_flipped_bit_in_a_png_is_an_error(tmp_path):
    data = bytearray(originals()["PNG RGB"])
    at = data.index(b"IDAT") + 500
    data[at] ^= 1
    assert "damaged" in refusal(tmp_path, bytes(data))


def test_more_pixels_than_allowed_are_refused(tmp_path):
    data = encoded(Image.fromarray(PICTURE), "PNG")
    assert read(tmp_path, data, max_pixels=1200).shape == (30, 40, 3)
    line = refusal(tmp_path, data, max_pixels=1199)
    assert "it has 0.0 megapixels (40x30), more than the 0.001199 allowed: raise --max-megapixels" in line


def test_the_decoder_of_webp_is_not_even_opened(monkeypatch):
    monkeypatch.setitem(decoding._READERS, "WebP", None)  # it takes memory for all the pixels at once
    lossless = encoded(Image.fromarray(PICTURE), "WEBP", lossless=True)
    assert lossless[12:16] == b"VP8L"
    for data in (*(originals()[name] for name in ("WebP", "WebP lossless", "WebP animated")), lossless):
        with pytest.raises(TooCostly, match=r"\((64x48|40x30)\), more than"):
            decoding.opened(io.BytesIO(data), 1199, lambda pixels: None)


def test_a_side_that_no_png_could_have_is_refused(tmp_path):
    assert read(tmp_path, encoded(Image.new("L", (500_000, 1)), "PNG")).shape == (1, 500_000, 3)
    for size in ((500_001, 1), (1, 500_001)):
        line = refusal(tmp_path, encoded(Image.new("L", size), "BMP"))
        assert f"it has {size[0]}x{size[1]} pixels, more than the 500000 allowed on a side: scale it down" in line


def outcome(read: Callable[[], np.ndarray]) -> np.ndarray | str:
    """The picture, or why there is none."""
    try:
        return read()
    except InputError as error:
        return str(error)


def test_bytes_are_read_as_files_are(tmp_path):
    path = tmp_path / "x.bin"
    for name, whole in originals().items():
        for data in (whole, whole[: len(whole) // 2], whole[:20], b""):
            path.write_bytes(data)
            of_file, of_bytes = outcome(lambda: read_image(path)), outcome(lambda data=data: decode_image(data))
            if isinstance(of_bytes, str):
                assert of_file == f"cannot read {path}: {of_bytes}", name
            else:
                assert np.array_equal(of_file, of_bytes), name


def test_bytes_with_too_many_pixels_are_told_from_other_errors():
    data = encoded(Image.fromarray(PICTURE), "PNG")
    with pytest.raises(TooCostly) as caught:
        decode_image(data, max_pixels=1199)
    assert caught.value.fact == "it has 0.0 megapixels (40x30), more than the 0.001199 allowed"
    assert str(caught.value) == f"{caught.value.fact}: raise --max-megapixels"
    with pytest.raises(InputError) as other:
        decode_image(data[:100], max_pixels=1200)
    assert not isinstance(other.value, TooCostly)


METER = """
import re, sys, time
from pathlib import Path
from icnet.base.errors import InputError
from icnet.pictures import reading
from icnet.pictures.reading import read_image

def peak_mib():
    decoder = reading._DECODERS._free.queue[-1]._process.pid
    statuses = [Path(f"/proc/{process}/status").read_text() for process in ("self", decoder)]
    return sum(int(re.search(r"VmHWM:\\s*(\\d+) kB", status)[1]) / 1024 for status in statuses)

folder, limit = Path(sys.argv[1]), int(sys.argv[2])
read_image(folder / "small")  # what is loaded only when first used
before, start = peak_mib(), time.perf_counter()
try:
    text = str(read_image(folder / "large", max_pixels=limit).shape)
except InputError as error:
    text = str(error)
print(time.perf_counter() - start, peak_mib() - before)
print(text)
"""


def measured(folder: Path, data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[float, float, str]:
    """Seconds, MiB of memory and the result of reading a picture, in a process of its own and its decoder."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell the memory of a process")
    (folder / "small").write_bytes(encoded(Image.fromarray(PICTURE), "PNG"))
    (folder / "large").write_bytes(data)
    command = [sys.executable, "-c", METER, str(folder), str(max_pixels)]
    figures, text = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    seconds, mib = map(float, figures.split())
    return seconds, mib, text


@pytest.mark.parametrize("name", ["PNG RGB", "JPEG RGB", "WebP animated", "BMP RGB", "TIFF raw"])
def test_huge_pictures_are_refused_before_they_take_memory(tmp_path, name):
    seconds, mib, text = measured(tmp_path, resized(originals()[name], 30_000, 30_000))
    assert "it has 900.0 megapixels (30000x30000), more than the 64 allowed: raise --max-megapixels" in text
    assert seconds < 0.2
    assert mib < 64


def test_the_meter_sees_the_memory_of_a_picture(tmp_path):
    _, mib, text = measured(tmp_path, encoded(Image.new("L", (6000, 4000)), "PNG"))
    assert text == "(4000, 6000, 3)"
    assert mib > 64


@pytest.mark.whole
@pytest.mark.parametrize(("name", "options"), [("PNG", {}), ("TIFF", {"compression": "group4"})])
def test_a_raised_limit_goes_beyond_that_of_pillow(tmp_path, name, options):
    data = encoded(Image.new("1", (20_000, 9_000)), name, **options)
    assert measured(tmp_path, data)[2].endswith("raise --max-megapixels")
    assert measured(tmp_path, data, 180_000_000)[2] == "(9000, 20000, 3)"


@pytest.mark.whole
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_of_48_megapixels_takes_pillow_s_buffer_and_the_result(tmp_path, orientation):
    data = with_orientation(np.full((6000, 8000, 3), 90, np.uint8), "JPEG", orientation)
    _, mib, text = measured(tmp_path, data)
    assert text == ("(6000, 8000, 3)" if orientation == 1 else "(8000, 6000, 3)")
    buffer, result = 48 * 4 / 1.048576, 48 * 3 / 1.048576
    assert mib < (1 if orientation == 1 else 2) * buffer + result + 32


def test_damaged_pictures_are_read_or_refused(tmp_path, seed, record_property):
    outcome = read_mutants(tmp_path, range(150 * seed, 150 * (seed + 1)))
    record_property("cases", 150)
    record_property("figure", f"{outcome.read.total()} of 150 read, slowest {outcome.slowest_s:.2f} s ({outcome.slowest})")
    assert outcome.read.total() > 20
    assert outcome.refused.total() > 50
    assert outcome.refused["truncated"] > 10


@pytest.mark.whole
@pytest.mark.parametrize("first", range(0, 2000, 250))
def test_2000_damaged_pictures_are_read_or_refused(tmp_path, first):
    print(read_mutants(tmp_path, range(first, first + 250)))


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("raise", "ValueError: not an InputError"),
        ("exit", "3 begins"),
        ("abort", r"exit code -\d+ at 3 begins"),
        ("hang", r"Timeout \(0:00:01\)!"),
        ("print", "libpicture: warning"),
    ],
)
def test_the_check_of_damaged_pictures_notices_a_reader_that_misbehaves(tmp_path, fault, complaint):
    with pytest.raises(AssertionError, match=complaint) as caught:
        read_mutants(tmp_path, range(4), fault=fault, limit_s=1)
    assert "3 " in str(caught.value)  # the seed at which it did
