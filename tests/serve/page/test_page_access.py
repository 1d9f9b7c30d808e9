"""Keyboard, screen reader, contrast and small screens."""

import pytest
from page_acts import show, told
from page_site import picture

expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect

PHONE = {"width": 375, "height": 667}

CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (rgb) => rgb.slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".frame, noscript")) continue;
    const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))].sort((x, y) => y - x);
    found[element.tagName + "." + element.className + "#" + element.id] = (a + 0.05) / (b + 0.05);
  }
  return found;
}"""

TARGETS = """() => [...document.querySelectorAll("button, select, a, label.button, #legend label, #opacity, #seek")]
  .filter((element) => element.checkVisibility())
  .map((element) => [element.id || element.textContent, element.getBoundingClientRect().height])"""


def tab_stops(page) -> list[str]:
    """Ids of all that the Tab key reaches, in order; of a class its name."""
    page.evaluate("() => document.activeElement.blur()")
    stops: list[str] = []
    while True:
        page.keyboard.press("Tab")
        stop = page.evaluate("() => document.activeElement.id || document.activeElement.parentElement.textContent.trim()")
        if stops and (stop == stops[0] or not page.evaluate("() => document.activeElement !== document.body")):
            return stops
        stops.append(stop)
        ring = page.evaluate(
            """() => {
              const focused = document.activeElement;
              const element = focused.id === "file" ? focused.nextElementSibling : focused;
              return focused.id === "divider" || getComputedStyle(element).outlineStyle !== "none";
            }"""
        )
        assert ring, f"no focus is seen at {stop}"


def test_tab_reaches_everything_in_the_order_of_the_page(page):
    sources = ["file", "camera", "example"]
    stops = tab_stops(page)
    assert (stops[:4], len(stops)) == ([*sources, "model"], 5)  # the last is the footer's link
    show(page, picture(1))
    stops = tab_stops(page)
    assert stops[:8] == [*sources, "surface", "divider", "model", "show-all", "hide-all"]
    assert len(stops[8:20]) == 12
    assert all(stop.endswith("%") for stop in stops[8:20])
    assert stops[20:23] == ["opacity", "save-classes", "save-overlay"]
    assert len(stops) == 24
    page.get_by_role("button", name="Webcam").click()
    expect(page.locator("#rate")).to_contain_text("fps")
    stops = tab_stops(page)
    assert stops[stops.index("divider") :][:4] == ["divider", "play", "stop", "model"]


def test_everything_works_without_a_mouse(page):
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("Example street: ")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    assert told(page)
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    expect(page.locator("#divider")).to_have_attribute("aria-valuetext", "100% original, 0% with classes")


def test_names_for_screen_readers(page):
    show(page, picture(2), "street.png")
    snapshot = page.locator("body").aria_snapshot()
    for line in [
        'heading "icnet road scene segmentation" [level=1]',
        'region "Source"',
        'button "Choose file"',
        'button "Webcam"',
        'button "Example street"',
        'main "Picture"',
        'application "Segmented picture"',
        'slider "Compare with the original"',
        "status: ",
        'complementary "Result and view"',
        'combobox "Model"',
        'group "Classes"',
        'checkbox "Sky ',
        'slider "Overlay opacity"',
        'group "Save as PNG"',
        'button "Class map"',
        'button "Overlay as shown"',
        'link "API description"',
    ]:
        assert line in snapshot, snapshot
    assert page.title() == "icnet: road scene segmentation"
    assert page.locator("html").get_attribute("lang") == "en"
    said = page.locator("#status").text_content()
    shares = [float(part.split()[-1].rstrip("%.")) for part in said.removeprefix("street.png: ").split(", ")]
    assert shares == sorted(shares, reverse=True)
    assert abs(sum(shares) - 100) < 1


def test_errors_are_alerts(page):
    page.set_input_files("#file", {"name": "words.txt", "mimeType": "text/plain", "buffer": b"words"})
    expect(page.get_by_role("alert")).to_contain_text("words.txt is not a picture")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page, scheme):
    page.emulate_media(color_scheme=scheme)
    empty = page.evaluate(CONTRASTS)
    show(page, picture(3))
    page.set_input_files("#file", {"name": "words.txt", "mimeType": "text/plain", "buffer": b"words"})
    expect(page.get_by_role("alert")).to_be_visible()
    ratios = empty | page.evaluate(CONTRASTS)
    assert len(ratios) > 12
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


def test_phone(page):
    page.set_viewport_size(PHONE)
    for opened in (False, True):
        if opened:
            show(page, picture(4, (60, 90)), "a rather long name of a picture that nobody would want to read to its very end.png")
            page.get_by_role("button", name="Webcam").click()
            expect(page.locator("#rate")).to_contain_text("fps")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert [target for target in page.evaluate(TARGETS) if target[1] < 44] == []
    boxes = [page.locator(name).bounding_box() for name in ("#camera", "#frame", "#legend")]
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]  # one column


def test_desktop_needs_no_scrolling_to_the_picture_and_its_figures(page):
    page.get_by_role("button", name="Example street").click()
    expect(page.locator("#status")).to_contain_text("%.")
    assert page.evaluate("document.documentElement.scrollHeight") <= 800
    frame, panel = (page.locator(name).bounding_box() for name in ("#frame", ".panel"))
    assert frame["width"] * frame["height"] > 0.45 * 1280 * 800
    assert frame["x"] + frame["width"] < panel["x"]


def test_touch(browser, site):
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(site.url)
    show(page, picture(5))
    page.tap("#surface", position={"x": 200, "y": 60})
    assert told(page)
    expect(page.locator("#chip")).to_be_visible()
    context.close()
