"""The page in a real browser, against a real server."""

import shutil

import pytest
from page_site import new_site, running

COUNT_URLS = """
window.urls = new Set();
const make = URL.createObjectURL, drop = URL.revokeObjectURL;
URL.createObjectURL = (blob) => { const url = make.call(URL, blob); window.urls.add(url); return url; };
URL.revokeObjectURL = (url) => { window.urls.delete(url); drop.call(URL, url); };
"""


@pytest.fixture(scope="module")
def site():
    with running(new_site()) as site:
        yield site


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the program chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with playwright.sync_playwright() as tool:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        with tool.chromium.launch(executable_path=chromium, args=arguments) as browser:
            yield browser


@pytest.fixture
def troubles():
    """Texts that the console may hold; a failed request is one by nature."""
    return []


@pytest.fixture
def page(browser, site, troubles):
    """The page, just opened; nothing may have gone wrong unseen, and nothing asked of another host, when the test ends."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    context.add_init_script(COUNT_URLS)
    page = context.new_page()
    unseen: list[str] = []
    page.on("console", lambda message: unseen.append(message.text))
    page.on("pageerror", lambda error: unseen.append(str(error)))
    page.on("request", lambda request: request.url.startswith((site.url, "blob:", "data:")) or unseen.append(request.url))
    page.goto(site.url)
    page.locator("#legend li").nth(11).wait_for()
    yield page
    site.service.draining = False
    context.close()
    assert [text for text in unseen if not any(trouble in text for trouble in troubles)] == []
