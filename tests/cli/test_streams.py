"""`icnet segment` on network streams and on what lies on a server."""

import functools
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from camera_server import HttpCamera, RtspCamera
from clip_files import write_clip
from segment_runs import tiny_model

from icnet import cli


@pytest.fixture(autouse=True)
def folder(tiny, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path, tiny)


def run(*arguments: str) -> int:
    return cli.run(["segment", *arguments, "-o", "out", "--model", "tiny.safetensors", "--allow-url", "--json"])


@pytest.mark.parametrize("kind", [HttpCamera, RtspCamera])
def test_a_stream_is_recorded_through_a_drop_that_is_counted(capsys, kind):
    with kind() as camera:

        def trouble() -> None:
            while not camera.accepted:
                time.sleep(0.01)
            time.sleep(1.5)
            camera.drop()
            time.sleep(0.3)
            camera.serve()

        thread = threading.Thread(target=trouble)
        thread.start()
        assert run(camera.url, "--seconds", "6") == 0
        thread.join()
    out, err = capsys.readouterr()
    (entry,) = json.loads(out)["inputs"]
    assert (entry["kind"], entry["drops"]) == ("stream", 1)
    assert [line.endswith("trying again") for line in err.splitlines()] == [True, False]
    with av.open(entry["outputs"][0]) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) == entry["frames"] > 50
    assert 4.5 < times[-1] < 6.5, "the recording went on after the drop"


def test_a_stream_that_cannot_be_opened_is_one_line_without_the_password(capsys):
    assert run("rtsp://admin:secret@127.0.0.1:9/live", "--seconds", "1") == 2
    out, err = capsys.readouterr()
    assert err.startswith("icnet: cannot open rtsp://admin:***@127.0.0.1:9/live: ")
    assert err.count("\n") == 1
    assert "secret" not in out + err + Path("out/report.jsonl").read_text()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path) -> Iterator[str]:
    """The address of a web server for this folder."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("local", [True, False])
def test_a_playlist_on_a_server_cannot_name_files_of_this_machine(capsys, server, tmp_path, local):
    write_clip(Path("v.ts"), range(20))
    piece = (tmp_path / "v.ts").as_uri() if local else "v.ts"
    Path("list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:0.67,\n{piece}\n#EXT-X-ENDLIST\n")
    assert run(f"{server}/list.m3u8") == (2 if local else 0)
    (entry,) = json.loads(capsys.readouterr().out)["inputs"]
    assert entry.get("frames") == (None if local else 20)


def test_a_video_on_a_server_is_read_to_its_end_with_its_sound(capsys, server):
    write_clip(Path("v.mp4"), range(20), sound="aac")
    assert run(f"{server}/v.mp4") == 0
    (entry,) = json.loads(capsys.readouterr().out)["inputs"]
    assert entry["frames"] == 20
    with av.open(entry["outputs"][0]) as container:
        assert len(container.streams.audio) == 1


def test_seconds_end_a_video_on_a_server_too(capsys, server):
    write_clip(Path("v.mp4"), range(90), sound="aac")
    assert run(f"{server}/v.mp4", "--seconds", "1") == 0
    (entry,) = json.loads(capsys.readouterr().out)["inputs"]
    assert entry["frames"] == 30
