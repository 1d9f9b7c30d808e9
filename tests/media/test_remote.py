import http.server
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from camera_server import HttpCamera, draw

from icnet.base.errors import InputError
from icnet.media import remote
from icnet.media.remote import read_picture, told_apart
from icnet.media.sources import Source, expand

PNG = cv2.imencode(".png", draw(77))[1].tobytes()


class Handler(http.server.BaseHTTPRequestHandler):
    """Pictures without a suffix or a media type that would tell, behind a password, moved, missing and dripping."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/a picture?size=full".replace(" ", "%20"))
        elif self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
        elif self.path == "/secret" and self.headers["Authorization"] != "Basic bWU6cEBzcw==":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
        elif self.path == "/gone":
            self.send_error(404)
            return
        else:
            self.send_response(200)
        self.end_headers()
        if self.path == "/drip":
            for byte in PNG:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        elif self.path != "/text":
            self.wfile.write(PNG)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.daemon_threads, server.block_on_close = [], True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def at(server: http.server.ThreadingHTTPServer, path: str, user: str = "") -> Source:
    (source,) = told_apart(expand([f"http://{user}127.0.0.1:{server.server_port}/{path}"], allow_url=True))
    return source


@pytest.mark.parametrize(("path", "user"), [("snapshot.cgi", ""), ("a picture?x=1", ""), ("moved", ""), ("secret", "me:p%40ss@")])
def test_a_picture_at_an_address_is_known_by_its_content(server, path, user):
    source = at(server, path, user)
    assert (source.kind, source.is_live, source.remote) == ("image", False, True)
    assert np.array_equal(read_picture(source, max_pixels=64 * 48), draw(77))


@pytest.mark.parametrize("path", ["text", "gone", "secret", "away"])
def test_what_gives_no_picture_stays_a_stream(server, path):
    assert at(server, path).kind == "stream"


def test_a_live_picture_is_none():
    with HttpCamera() as camera:
        assert told_apart(expand([camera.url], allow_url=True)) == [Source(camera.url, "stream")]


def test_a_picture_that_cannot_be_had_is_one_line_without_its_password(server, monkeypatch):
    def line(path: str, **options: int) -> str:
        source = Source(f"http://me:secret@127.0.0.1:{server.server_port}/{path}", "image", fetched=True)
        with pytest.raises(InputError) as caught:
            read_picture(source, **{"max_pixels": 1 << 20} | options)
        told = str(caught.value)
        assert told.startswith(f"cannot read {source.shown}: ")
        assert "secret" not in told
        return told.removeprefix(f"cannot read {source.shown}: ")

    assert line("gone") == "404 Not Found; check the address, and that its server runs"
    assert "0.003 allowed" in line("a", max_pixels=3000)
    monkeypatch.setattr(remote, "_LEAST_BYTES", 0)
    assert line("a", max_pixels=1) == "it has more than 0 MiB: raise --max-megapixels"
    monkeypatch.setattr(remote, "FETCH_S", 0.3)
    assert line("drip") == "it did not arrive within 0.3 s"
    server.shutdown()
    server.server_close()
    assert line("a") == "Connection refused; check the address, and that its server runs"
