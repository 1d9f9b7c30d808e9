"""What `icnet segment` writes when it is told so."""

import csv
import functools
import http.server
import json
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import openvino as ov
import pytest
from clip_files import sound_packets, write_clip
from PIL import Image
from segment_runs import picture, tiny_model

from icnet import Segmenter, cli
from icnet.base.classes import CAMVID
from icnet.media import sources
from icnet.media.sinks import video_sink
from icnet.media.video import Video
from icnet.network.openvino_model import openvino_model
from icnet.network.weights import load_weights
from icnet.results.png import write_png
from icnet.results.polygons import fill
from icnet.runtime.smooth import Smoother
from icnet.runtime.tiles import segment_tiled

MODEL = "tiny.safetensors"
ALL = "classes,palette,colour,overlay,confidence,geojson,coco,rle"


@pytest.fixture(autouse=True)
def folder(tiny, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path, tiny)
    write_png(Path("a.png"), picture(0))
    return tmp_path


def clip(name: str = "v.mp4", frames: int = 4) -> None:
    with video_sink(Path(name), rate=av.time_base // 100_000) as video:
        for number in range(frames):
            video.write(picture(number // 2), number / 10)


def run(*arguments: str, code: int = 0) -> None:
    assert cli.run(["segment", *arguments, "-o", "out", "--model", MODEL]) == code


def read(path: str) -> np.ndarray:
    image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return image


def names() -> list[str]:
    return sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file())


def test_every_form_of_a_picture():
    run("a.png", "--write", ALL)
    expected = Segmenter(MODEL)(picture(0), confidence=True)
    assert np.array_equal(read("out/a.png"), expected.classes)
    assert np.array_equal(read("out/a_colour.png"), CAMVID.palette_rgb[expected.classes][:, :, ::-1])
    assert np.array_equal(read("out/a_overlay.png"), expected.overlay())
    assert np.array_equal(read("out/a_confidence.png"), expected.confidence)
    with Image.open("out/a_palette.png") as shown:
        assert np.array_equal(np.asarray(shown), expected.classes)
        assert np.array_equal(np.asarray(shown.convert("RGB")), CAMVID.palette_rgb[expected.classes])
    rebuilt = np.full_like(expected.classes, CAMVID.void)
    for feature in json.loads(Path("out/a.geojson").read_text())["features"]:
        rings = [np.array(ring) for ring in feature["geometry"]["coordinates"]]
        rebuilt[fill(rings, rebuilt.shape)] = feature["properties"]["class_index"]
    assert np.array_equal(rebuilt, expected.classes)
    assert {image["file_name"] for image in json.loads(Path("out/a.coco.json").read_text())["images"]} == {"a.png"}
    areas = {
        annotation["category_id"] - 1: annotation["area"]
        for annotation in json.loads(Path("out/a.rle.json").read_text())["annotations"]
    }
    assert areas == {
        index: int((expected.classes == index).sum()) for index in np.unique(expected.classes) if index != CAMVID.void
    }


def test_every_form_of_a_video():
    clip()
    run("v.mp4", "--write", ALL)
    with Video("v.mp4") as video:
        frames = [Segmenter(MODEL)(frame.image, confidence=True) for frame in video]
    for folder in ("v", "v_palette", "v_confidence"):
        assert [path.name for path in sorted(Path("out", folder).iterdir())] == [f"{number:06}.png" for number in range(4)]
    for number, frame in enumerate(frames):
        assert np.array_equal(read(f"out/v/{number:06}.png"), frame.classes)
        assert np.array_equal(read(f"out/v_confidence/{number:06}.png"), frame.confidence)
    for name in ("v.mp4", "v_colour.mp4"):
        with Video(f"out/{name}") as video:
            assert len(list(video)) == 4
    features = json.loads(Path("out/v.geojson").read_text())["features"]
    assert {feature["properties"]["frame"] for feature in features} == {0, 1, 2, 3}
    assert {feature["properties"]["time_s"] for feature in features} == {0.0, 0.1, 0.2, 0.3}
    assert len(json.loads(Path("out/v.coco.json").read_text())["images"]) == 4


def test_the_sound_goes_into_the_overlay():
    write_clip(Path("s.mp4"), range(10), sound="aac")
    run("s.mp4", "--write", "colour,overlay")
    assert [len(sound_packets(Path(f"out/{name}"))) > 0 for name in ("s.mp4", "s_colour.mp4")] == [True, False]
    run("s.mp4", "--write", "colour")
    assert sound_packets(Path("out/s_colour.mp4"))


def test_only_some_classes_in_all_results():
    present = np.unique(Segmenter(MODEL)(picture(0)).classes).tolist()
    wanted = [index for index in present if index != CAMVID.void][:2]
    run("a.png", "--write", "classes,geojson", "--only", ",".join(CAMVID.names[index] for index in wanted), "--stats", "t.csv")
    classes = Segmenter(MODEL)(picture(0)).classes
    assert np.array_equal(read("out/a.png"), np.where(np.isin(classes, wanted), classes, CAMVID.void))
    shown = {feature["properties"]["class_index"] for feature in json.loads(Path("out/a.geojson").read_text())["features"]}
    assert shown == set(wanted)
    with open("t.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert [name for name in row if name in CAMVID.names] == [CAMVID.names[index] for index in wanted]
    assert float(row[CAMVID.names[wanted[0]]]) == pytest.approx((classes == wanted[0]).mean(), abs=1e-6)


def test_a_palette_of_ones_own():
    index = int(np.unique(Segmenter(MODEL)(picture(0)).classes)[0])
    Path("p.json").write_text(json.dumps({CAMVID.names[index]: "#010203"}))
    run("a.png", "--write", "classes,colour", "--palette", "p.json")
    assert read("out/a_colour.png")[read("out/a.png") == index].tolist()[0] == [3, 2, 1]


def test_small_regions_are_left_out():
    run("a.png", "--write", "geojson,classes", "--min-area", "50")
    kept = json.loads(Path("out/a.geojson").read_text())["features"]
    run("a.png", "--write", "geojson,classes")
    everything = json.loads(Path("out/a.geojson").read_text())["features"]
    assert kept == [feature for feature in everything if feature["properties"]["area"] >= 50]
    assert 0 < len(kept) < len(everything)


def test_numbers_of_a_video_and_its_zones():
    clip()
    Path("z.json").write_text(json.dumps({"left": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "all": [[0, 0], [1, 0], [1, 1], [0, 1]]}))
    run("v.mp4", "a.png", "--write", "classes", "--stats", "t.csv", "--zones", "z.json")
    with open("t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["input"], row["frame"], row["zone"]) for row in rows[:4]] == [
        *(("v.mp4", "0", zone) for zone in ("", "left", "all")),
        ("v.mp4", "1", ""),
    ]
    assert [row["time_s"] for row in rows[::3]] == ["0.0", "0.1", "0.2", "0.3", ""]
    for number in range(4):
        whole, left, every = (np.array([float(row[name]) for name in CAMVID.names]) for row in rows[3 * number : 3 * number + 3])
        classes = read(f"out/v/{number:06}.png")
        assert whole == pytest.approx(np.bincount(classes.ravel(), minlength=12) / classes.size, abs=1e-6)
        assert every == pytest.approx(whole, abs=1e-6)
        assert left == pytest.approx(np.bincount(classes[:, :32].ravel(), minlength=12) / classes.size * 2, abs=1e-6)


@pytest.mark.parametrize("forms", ["overlay", "classes"])
def test_a_contact_sheet_shows_all_pictures(forms):
    for number in range(7):
        write_png(Path(f"in/{number} ü.png"), picture(number))
    Path("in/bad.png").write_bytes(b"")
    run("in", "--write", forms, "--contact-sheet", code=1)
    with Image.open("out/contact-sheet.jpg") as sheet:
        page = np.asarray(sheet.convert("RGB")).astype(int)
    overlay = cv2.resize(Segmenter(MODEL)(picture(0)).overlay(legend=False), (240, 180))[:, :, ::-1]
    assert np.abs(page[8:188, 8:248] - overlay).mean() < 25
    cells = [
        page[8 + row * 206 : 188 + row * 206, 8 + column * 248 : 248 + column * 248] for row in (0, 1) for column in range(6)
    ]
    assert [bool((cell < 250).any()) for cell in cells] == [True] * 7 + [False] * 5


def test_a_resumed_run_puts_all_pictures_on_the_sheet():
    for number in range(3):
        write_png(Path(f"in/{number}.png"), picture(number))
    Path("in/1.png").write_bytes(b"")
    run("in", "--contact-sheet", code=1)
    write_png(Path("in/1.png"), picture(1))
    run("in", "--contact-sheet", "--resume")
    with Image.open("out/contact-sheet.jpg") as sheet:
        assert sheet.width == 8 + 3 * 248


def test_windows_and_smoothing_reach_the_segmenter():
    large = cv2.resize(picture(3), (300, 220))
    write_png(Path("large.png"), large)
    run("large.png", "--tile", "--write", "classes")
    segmenter = Segmenter(MODEL)
    expected = segment_tiled(segmenter, large).classes
    assert np.array_equal(read("out/large.png"), expected)
    assert not np.array_equal(expected, segmenter(large).classes)
    clip(frames=6)
    run("v.mp4", "--smooth", "--write", "classes")
    smoother = Smoother()
    with Video("v.mp4") as video:
        steady = [segmenter(frame.image, smoother=smoother).classes for frame in video]
    assert all(np.array_equal(read(f"out/v/{number:06}.png"), classes) for number, classes in enumerate(steady))


def test_an_index_model_is_refused_where_scores_are_needed(capsys):
    ov.save_model(openvino_model(load_weights(Path(MODEL)), output="index", size_hw=(96, 128)), "index.xml")
    clip()
    for options in (["--smooth"], ["--tile"], ["--write", "confidence"]):
        assert cli.run(["segment", "v.mp4", "-o", "out", "--model", "index.xml", *options]) == 2
        assert "gives class indices only" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--write", "overlay", "--classes-only"], "give one of them"),
        (["--write", "picture"], "--write knows no picture"),
        (["--write", ""], "--write knows no empty name"),
        (["--zones", "z.json"], "name it with --stats"),
        (["--stats", "t.txt"], "must end in .csv or .parquet"),
        (["--only", "Street"], "there is no class Street"),
        (["--palette", "none.json"], "cannot read the palette"),
        (["--smooth"], "all inputs are pictures"),
        (["--contact-sheet", "--write", "geojson"], "is made of overlays or class maps"),
        (["--max-megapixels", "inf"], "not a finite number"),
        (["http://127.0.0.1:9/x"], "only with --allow-url"),
    ],
)
def test_options_that_do_not_fit_are_one_line(capsys, arguments, said):
    run("a.png", *arguments, code=2)
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not Path("out").exists()
    assert [path.name for path in Path().iterdir() if path.suffix in (".csv", ".txt")] == []


def test_a_limit_of_pixels_can_be_raised(capsys):
    run("a.png", "--max-megapixels", "0.003", code=2)
    assert "raise --max-megapixels" in capsys.readouterr().err
    run("a.png", "--max-megapixels", "0.004")
    clip()
    run("v.mp4", "--max-megapixels", "0.003", code=2)
    assert "raise --max-megapixels" in capsys.readouterr().err


def test_a_picture_at_an_address_becomes_what_one_in_a_file_does(folder):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = [f"http://127.0.0.1:{server.server_port}/a.png?number={number}" for number in (1, 2)]
        run(*urls, "a.png", "--allow-url", "--write", "classes,coco", "--contact-sheet", "--stats", "t.csv")
        server.shutdown()
    assert np.array_equal(read("out/127.0.0.1-a.png"), Segmenter(MODEL)(picture(0)).classes)
    assert {"a.png", "127.0.0.1-a.png", "127.0.0.1-a-2.png", "127.0.0.1-a-2.coco.json", "contact-sheet.jpg"} <= set(names())
    rows = csv.reader(Path("t.csv").read_text().splitlines())
    assert [row[0] for row in rows][1:] == [url[:-1] + "***" for url in urls] + ["a.png"]
    images = json.loads(Path("out/annotations.coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["127.0.0.1-a", "127.0.0.1-a-2", "a.png"]


def test_what_is_not_read_is_counted_and_named(capsys):
    write_png(Path("in/a.png"), picture(0))
    for name in ("in/1.RAW", "in/2.raw", "in/read me", *(f"in/{number}.txt" for number in range(9))):
        Path(name).write_bytes(b"")
    run("in", "--classes-only")
    assert capsys.readouterr().err.splitlines()[-1] == (
        "not read, because no pictures or videos of known kinds: 9 .txt, 2 .raw, 1 without suffix "
        "(in/0.txt, in/1.RAW, in/1.txt, in/2.raw, in/2.txt and 7 more)"
    )
    run("in", "--classes-only", "--json")
    assert len(json.loads(capsys.readouterr().out)["unread"]) == 12


def test_heic_in_a_folder_is_told_with_the_package_for_it(capsys, monkeypatch):
    monkeypatch.setattr(sources, "IMAGE_SUFFIXES", sources.IMAGE_SUFFIXES - sources.HEIC_SUFFIXES)  # as without it
    write_png(Path("in/a.png"), picture(0))
    Path("in/b.HEIC").write_bytes(b"")
    run("in", "--classes-only")
    assert capsys.readouterr().err.splitlines()[-1].endswith("1 .heic (in/b.HEIC); for HEIC, pip install 'icnet[heic]'")
