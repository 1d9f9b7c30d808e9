"""Keyboard, screen reader, contrast, small screens and odd shapes."""

import numpy as np
import pytest
from page_acts import open_camera, point, show, told
from page_site import classes_of, percent_of, picture, pixels

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

TARGETS = """() => [...document.querySelectorAll("button, select, a, label.button, #legend label, #opacity, #abstain, #seek")]
  .filter((element) => element.checkVisibility())
  .map((element) => [element.id || element.textContent, element.getBoundingClientRect().height])"""

CUT = """() => [...document.querySelectorAll("#legend li")].filter((item) => {
  const [name, share] = [item.querySelector(".class"), item.querySelector(".share")];
  const [outer, inner] = [item.getBoundingClientRect(), share.getBoundingClientRect()];
  return inner.left < outer.left || inner.right > outer.right || name.scrollWidth > name.clientWidth;
}).map((item) => item.textContent)"""
"""Classes whose name or share does not fit into the legend."""


def tab_stops(page) -> list[str]:
    """Ids of all that the Tab key reaches, in order; of a class its name."""
    page.evaluate("() => document.activeElement.blur()")
    stops: list[str] = []
    while True:
        page.keyboard.press("Tab")
        stop, outside, ring = page.evaluate(
            """() => {
              const focused = document.activeElement;
              const element = focused.id === "file" ? focused.nextElementSibling : focused;
              return [
                focused.id || focused.parentElement.textContent.trim(),
                focused === document.body,
                focused.id === "divider" || getComputedStyle(element).outlineStyle !== "none",
              ];
            }"""
        )
        if stops and (stop == stops[0] or outside):
            return stops
        stops.append(stop)
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
    assert stops[20:24] == ["opacity", "abstain", "save-classes", "save-overlay"]
    assert len(stops) == 25
    open_camera(page)
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
        'slider "Least confidence"',
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


def test_contrast(page):
    ratios: dict[str, float] = {}
    for opened in (False, True):
        if opened:
            show(page, picture(3))
            page.set_input_files("#file", {"name": "words.txt", "mimeType": "text/plain", "buffer": b"words"})
            expect(page.get_by_role("alert")).to_be_visible()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate(CONTRASTS)
            assert len(found) >= 12
            ratios |= {f"{name} {scheme} {opened}": ratio for name, ratio in found.items()}
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


def test_phone(page):
    page.set_viewport_size(PHONE)
    for opened in (False, True):
        if opened:
            show(page, picture(4, (60, 90)), "a rather long name of a picture that nobody would want to read to its very end.png")
            open_camera(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert [target for target in page.evaluate(TARGETS) if target[1] < 44] == []
    boxes = [page.locator(name).bounding_box() for name in ("#camera", "#frame", "#legend")]
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]  # one column


def test_legend_of_a_phone(page):
    show(page, picture(22))
    for width in (320, 360, 375, 430):
        page.set_viewport_size({"width": width, "height": 667})
        assert page.evaluate(CUT) == [], width


def test_thin_pictures_can_be_seen_and_pointed_at(page):
    names = page.locator("#legend .class").all_text_contents()
    for size_hw in [(1, 5000), (5000, 1), (10, 65000)]:
        image = picture(23, size_hw, block=max(size_hw) // 10)
        for width, height in [(320, 640), (1280, 800)]:
            page.set_viewport_size({"width": width, "height": height})
            show(page, image, f"{size_hw} on {width}.png")
            box = page.locator("#frame").bounding_box()
            assert min(box["width"], box["height"]) >= 8
            assert box["width"] <= width - 32
            assert box["height"] <= 0.8 * height
            for part in (0.25, 0.95):
                y, x = (int(part * length) for length in size_hw)
                point(page, x, y, size_hw)
                assert told(page) == f"{names[classes_of(image)[y, x]]} {percent_of(image)[y, x]}%"
                chip = page.locator("#chip").bounding_box()
                corner = page.screenshot(clip={"x": chip["x"] + 5, "y": chip["y"] + 3, "width": 2, "height": 2})
                assert pixels(corner).max() < 50, "the label is not seen"
                assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_desktop_needs_no_scrolling_to_the_picture_and_its_figures(page):
    page.get_by_role("button", name="Example street").click()
    expect(page.locator("#status")).to_contain_text("%.")
    assert page.evaluate("document.documentElement.scrollHeight") <= 800
    frame, panel = (page.locator(name).bounding_box() for name in ("#frame", ".panel"))
    assert frame["width"] * frame["height"] > 0.45 * 1280 * 800
    assert frame["x"] + frame["width"] < panel["x"]


def test_touch(page):
    page.set_viewport_size(PHONE)
    show(page, np.full((60, 90, 3), (0, 255, 203), np.uint8))
    box = page.locator("#surface").bounding_box()
    tools = page.context.new_cdp_session(page)  # a tab that has touch from the beginning would take a second
    points = [{"x": box["x"] + 200, "y": box["y"] + 60}]
    tools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points})
    tools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#chip")).to_be_visible()
    assert told(page) == "Pedestrian 100%"
    chip = page.locator("#chip").bounding_box()
    assert box["x"] <= chip["x"]
    assert chip["x"] + chip["width"] <= box["x"] + box["width"]


def test_a_file_dropped_early_does_not_take_the_place_of_the_page(page, site):
    held: list = []
    page.route("**/page/classes.json", lambda route: held.append(route))
    page.goto(site.url)
    prevented = page.evaluate(
        """() => ["dragover", "drop"].map((kind) => {
          const options = { bubbles: true, cancelable: true, dataTransfer: new DataTransfer() };
          return !document.body.dispatchEvent(new DragEvent(kind, options));
        })"""
    )
    assert prevented == [True, True]
    held[0].continue_()
    page.locator("#legend li").nth(11).wait_for()
