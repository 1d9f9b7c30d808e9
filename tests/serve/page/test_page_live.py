import re
import time

import pytest
from clip_files import write_clip
from page_acts import FRAME_RATE, KEEP_STREAM, choose, drawn, open_camera, point, seen, show, told
from page_site import percent_of, picture

from icnet.serve.errors import Overloaded

expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> bytes:
    """Three seconds of H.264 in MP4."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, range(90), size_hw=(96, 128))
    return path.read_bytes()


def wait_for(page, condition, seconds: float = 10) -> None:
    """Let the page work until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        page.wait_for_timeout(20)


def open_clip(page, clip: bytes) -> None:
    choose(page, clip, "clip.mp4", "video/mp4")
    expect(page.locator("#player")).to_be_visible()


def set_hidden(page, hidden: bool) -> None:
    """Make the page believe that its tab is in the background or not."""
    page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_camera(page, site):
    before = site.count()
    open_camera(page, small=False)
    wait_for(page, lambda: site.count() >= before + 3)
    expect(page.locator("#round-trip")).to_have_text(re.compile(r"^\d+ ms$"))
    expect(page.locator("#server")).to_have_text(re.compile(r"^\d+ ms$"))
    expect(page.locator("#status")).to_have_text("Webcam is being segmented.")
    expect(page.locator("#seek")).to_be_hidden()
    assert seen(page).std() > 1
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#player")).to_be_hidden()
    assert page.evaluate("stream.getTracks().map(track => track.readyState)") == ["ended"]
    expect(page.locator("#status")).to_contain_text("Webcam: ")
    expect(page.locator("#rate")).to_be_hidden()
    expect(page.locator("#surface")).to_be_focused()
    page.wait_for_timeout(150)  # what was on its way
    count = site.count()
    page.wait_for_timeout(200)
    assert site.count() == count
    point(page, 300, 200, (720, 1280))  # the last frame stays
    assert told(page)


def test_another_choice_lets_the_camera_go(page):
    open_camera(page)
    image = picture(20)
    show(page, image)
    assert page.evaluate("stream.getTracks().map(track => track.readyState)") == ["ended"]
    expect(page.locator("#player")).to_be_hidden()
    expect(page.locator("#rate")).to_be_hidden()
    page.wait_for_timeout(100)
    point(page, 7, 7, (60, 80))
    assert told(page).endswith(f" {percent_of(image)[7, 7]}%")


def test_file_that_is_no_picture_does_not_end_the_camera(page, site):
    open_camera(page)
    choose(page, b"only words", "words.txt", "text/plain")
    expect(page.locator("#source-notice")).to_contain_text("words.txt is not a picture")
    expect(page.locator("#status")).to_have_text("Webcam is being segmented.")
    count = site.count()
    wait_for(page, lambda: site.count() > count + 2)


def test_no_camera(page):
    for error, words in [
        ("NotAllowedError", "refuses the camera"),
        ("NotFoundError", "No camera was found"),
        ("NotReadableError", "another program"),
    ]:
        page.evaluate(
            "name => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', name); }; }", error
        )
        page.get_by_role("button", name="Webcam").click()
        expect(page.locator("#source-notice")).to_contain_text(words)
        expect(page.locator("#player")).to_be_hidden()


def test_video(page, site, clip):
    before = site.count()
    open_clip(page, clip)
    expect(page.locator("#rate")).to_have_text(FRAME_RATE)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status")).to_contain_text("clip.mp4: ")
    assert site.count() >= before + 2
    assert page.evaluate("urls.size") == 1
    seek = page.get_by_role("slider", name="Position in the video")
    for second, place in [(2.0, 112), (0.5, 60)]:  # the bar of frame n begins at column 4 n, modulo the width
        count = site.count()
        seek.fill(str(second))
        wait_for(page, lambda count=count: site.count() > count)
        expect(seek).to_have_attribute("aria-valuetext", f"0:0{int(second)} of 0:03")
        expect(page.locator("#time")).to_have_text(f"0:0{int(second)} / 0:03")
        page.wait_for_timeout(150)
        assert abs(int(drawn(page, "#base")[48, :, 0].argmax()) - place) <= 8
    page.get_by_role("button", name="Play").click()
    count = site.count()
    wait_for(page, lambda: site.count() > count + 2)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#player")).to_be_hidden()
    assert page.evaluate("urls.size") == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Class map").click()
    assert download.value.suggested_filename == "clip_classes.png"


def test_model_of_a_paused_video(page, site, clip):
    open_clip(page, clip)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status")).to_contain_text("clip.mp4: ")
    page.get_by_label("Model").select_option("turned")
    expect(page.locator("#served")).to_have_text("turned, version 111111111111")


def test_nothing_is_sent_while_nobody_looks(page, site, clip):
    open_clip(page, clip)
    count = site.count()
    wait_for(page, lambda: site.count() > count)
    set_hidden(page, True)
    assert page.locator("#video").evaluate("video => video.paused")
    page.wait_for_timeout(150)  # what was on its way
    count = site.count()
    page.wait_for_timeout(200)
    assert site.count() == count
    set_hidden(page, False)
    wait_for(page, lambda: site.count() > count + 1)
    assert not page.locator("#video").evaluate("video => video.paused")


def test_video_that_cannot_be_played(page):
    open_camera(page)
    choose(page, b"no video at all" * 100, "odd.mp4", "video/mp4")
    expect(page.locator("#source-notice")).to_contain_text("cannot play this video")
    expect(page.locator("#player")).to_be_hidden()
    expect(page.locator("#status")).to_contain_text("Webcam: ")  # its last frame is still there
    expect(page.locator("#rate")).to_be_hidden()
    assert page.evaluate("urls.size") == 0


def test_live_waits_as_long_as_a_busy_server_wants(page, site, troubles, monkeypatch):
    troubles.append("503")
    asked: list[float] = []

    def refuse() -> None:
        asked.append(time.monotonic())
        raise Overloaded("the server is busy and its queue is full: try again in a moment")

    open_camera(page)
    with monkeypatch.context() as patch:
        patch.setattr(site.service, "check", refuse)
        notice = page.locator("#live-notice")
        expect(notice).to_have_text("The server is busy and its queue is full. Trying again.")
        expect(page.locator("#rate")).to_be_hidden()
        wait_for(page, lambda: len(asked) == 2)
    assert 0.9 < asked[1] - asked[0] < 3
    expect(page.locator("#rate")).to_have_text(FRAME_RATE)
    expect(notice).to_be_hidden()


def test_live_ends_at_what_cannot_pass(page, site, troubles):
    troubles.append("413")
    page.evaluate(KEEP_STREAM, True)
    page.route("**/v1/segment?*", lambda route: route.fulfill(status=413, json={"error": "too much of it"}))
    page.get_by_role("button", name="Webcam").click()
    expect(page.locator("#live-notice")).to_have_text("Too much of it.")
    expect(page.locator("#status")).to_have_text("")
    assert page.evaluate("stream.getTracks().map(track => track.readyState)") == ["ended"]


def test_one_request_at_a_time(page, clip):
    flying, most = set(), [0]

    def begun(request) -> None:
        if "/v1/segment" in request.url:
            flying.add(request)
            most[0] = max(most[0], len(flying))

    page.on("request", begun)
    page.on("requestfinished", lambda request: flying.discard(request))
    page.on("requestfailed", lambda request: flying.discard(request))
    open_clip(page, clip)
    page.wait_for_timeout(400)
    assert most == [1]
