"""The page in a real browser, against a real server."""

import shutil

import pytest
from page_acts import COUNT_URLS
from page_site import encoded, new_site, picture, running

from icnet.serve.page import routes as page_http


@pytest.fixture(scope="module")
def site():
    with pytest.MonkeyPatch.context() as patch, running(new_site()) as site:
        patch.setattr(page_http, "_paint", lambda: encoded(picture(0, (720, 960), block=120), "jpeg"))  # a street takes a second
        yield site


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the program chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with playwright.sync_playwright() as tool:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream=fps=10", "--use-fake-ui-for-media-stream"]
        with tool.chromium.launch(executable_path=chromium, args=arguments) as browser:
            yield browser


@pytest.fixture(scope="module")
def tab(browser):
    """A tab of the browser, and what its console said and which addresses it asked for."""
    context = browser.new_context()
    context.add_init_script(COUNT_URLS)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page, said, asked
    context.close()


@pytest.fixture
def troubles():
    """Texts that the console may hold; a failed request is one by nature."""
    return []


@pytest.fixture
def page(tab, site, troubles):
    """The page, just opened; nothing may have gone wrong unseen, and nothing asked of another host, when the test ends."""
    page, said, asked = tab
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(site.url)
    page.locator("#legend li").nth(11).wait_for()
    yield page
    site.service.draining = False
    page.context.set_offline(False)
    page.unroute_all()
    if page.locator("#player").is_visible():
        page.goto("about:blank")  # ends what is live
    errors = [text for text in said if not any(trouble in text for trouble in troubles)]
    elsewhere = [url for url in asked if not url.startswith((site.url, "blob:", "data:", "about:"))]
    said.clear()
    asked.clear()
    assert (errors, elsewhere) == ([], [])
