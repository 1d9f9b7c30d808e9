import numpy as np
import pytest
from page_acts import choose, drawn, point, seen_at, show, told
from page_site import LIGHT, SLOW_WIDTH, blended, classes_of, encoded, percent_of, picture, pixels, png
from PIL import Image

expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright").expect

OPACITY = 0.6
"""When the page opens."""


def test_example(page, site):
    before = site.count()
    page.get_by_role("button", name="Example street").click()
    expect(page.locator("#status")).to_contain_text("%.")
    assert site.count() == before + 1
    assert page.locator("#base").evaluate("canvas => [canvas.width, canvas.height]") == [960, 720]
    assert page.locator("#round-trip").text_content().endswith(" ms")
    assert page.locator("#server").text_content().endswith(" ms")
    expect(page.locator("#rate")).to_be_hidden()
    expect(page.locator("#served")).to_have_text("first, version 000000000000")


def test_pictures_are_shown_with_exact_classes(page):
    for size_hw in [(60, 80), (37, 61), (3, 1)]:
        image = picture(1, size_hw)
        show(page, image, f"{size_hw[0]}.png")
        original, overlay = (drawn(page, name) for name in ("#base", "#overlay"))
        classes = classes_of(image)
        assert np.array_equal(original, image)
        assert np.array_equal(overlay, blended(image, classes, 1))
        shares = page.locator("#legend .share").all_text_contents()
        counts = np.bincount(classes.ravel(), minlength=12)
        assert shares == [f"{np.floor(1000 * count / classes.size + 0.5) / 10:.1f}%" if count else "0%" for count in counts]


def test_large_picture(page):
    image = picture(18, (1100, 2200), block=50)
    show(page, image)
    names = page.locator("#legend .class").all_text_contents()
    for x, y in [(20, 20), (2180, 20), (1020, 520), (20, 1080), (2180, 1080)]:
        point(page, x, y, (1100, 2200))
        assert told(page) == f"{names[classes_of(image)[y, x]]} {percent_of(image)[y, x]}%"


def test_hover_and_arrow_keys_tell_class_and_confidence(page):
    image = picture(2, block=1)
    show(page, image)
    names = page.locator("#legend .class").all_text_contents()
    classes, percent = classes_of(image), percent_of(image)
    for x, y in [(0, 0), (79, 59), (13, 47), (55, 5), (40, 31)]:
        point(page, x, y, (60, 80))
        assert told(page) == f"{names[classes[y, x]]} {percent[y, x]}%"
    page.mouse.move(1270, 790)
    expect(page.locator("#chip")).to_be_hidden()
    page.focus("#surface")
    for keys, (x, y) in [(["ArrowLeft"], (40, 30)), (["ArrowRight", "Shift+ArrowDown"], (42, 31)), (["ArrowUp"] * 30, (42, 0))]:
        for key in keys:
            page.keyboard.press(key)
        expect(page.locator("#probe-status")).to_have_text(f"{names[classes[y, x]]} {percent[y, x]}%")
        expect(page.locator("#cross")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#cross")).to_be_hidden()


def test_switches_and_opacity_change_what_is_seen(page):
    image = picture(3)
    show(page, image)
    classes, (x, y) = classes_of(image), (55, 15)
    colours = blended(image, classes, OPACITY)[y, x]
    assert np.abs(seen_at(page, x, y, (60, 80)) - colours).max() <= 2
    box = page.locator("#legend input").nth(classes[y, x])
    box.uncheck()
    assert np.abs(seen_at(page, x, y, (60, 80)) - image[y, x]).max() <= 2
    box.check()
    page.locator("#opacity").fill("20")
    expect(page.locator("#opacity-value")).to_have_text("20%")
    assert np.abs(seen_at(page, x, y, (60, 80)) - blended(image, classes, 0.2)[y, x]).max() <= 2
    page.get_by_role("button", name="Hide all").click()
    assert page.locator("#legend input:checked").count() == 0
    assert np.abs(seen_at(page, x, y, (60, 80)) - image[y, x]).max() <= 2
    page.get_by_role("button", name="Show all").click()
    assert page.locator("#legend input:checked").count() == 12


def test_what_is_not_sure_becomes_unlabeled(page, site):
    image = picture(6, block=5)
    show(page, image)
    before, answers = classes_of(image), site.count()
    slider, shown = page.locator("#abstain"), lambda: drawn(page, "#overlay")
    expect(page.locator("#abstain-value")).to_have_text("any")
    slider.fill("60")
    expect(page.locator("#abstain-value")).to_have_text("60%")
    expected = np.where(image[..., 1] < 255 * 0.6, 11, before)
    assert 0 < (expected != before).sum() < before.size
    assert np.array_equal(shown(), blended(image, expected, 1))
    share = 100 * (expected == 11).mean()
    assert page.locator("#legend .share").last.text_content() == f"{np.floor(10 * share + 0.5) / 10:.1f}%"
    slider.fill("0")
    assert np.array_equal(shown(), blended(image, before, 1))
    assert site.count() == answers, "no picture is sent again"


def test_divider_by_mouse_and_by_keys(page):
    image = picture(4)
    show(page, image)
    size, coloured = (60, 80), blended(image, classes_of(image), OPACITY)
    left, right = (15, 45), (65, 45)

    def original(x: int, y: int) -> bool:
        colour = seen_at(page, x, y, size)
        plain, with_classes = (np.abs(colour - expected[y, x]).max() <= 2 for expected in (image, coloured))
        assert plain != with_classes
        return plain

    assert not original(*left)
    frame = page.locator("#frame").bounding_box()
    middle = frame["y"] + frame["height"] / 2
    page.mouse.move(frame["x"] + 22, middle)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] / 2, middle, steps=4)
    page.mouse.up()
    assert original(*left)
    assert not original(*right)
    slider = page.get_by_role("slider", name="Compare with the original")
    expect(slider).to_have_attribute("aria-valuetext", "50% original, 50% with classes")
    slider.press("End")
    assert original(*right)
    slider.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "99% original, 1% with classes")
    slider.press("Home")
    assert not original(*left)


def test_downloads_are_exact(page):
    image = picture(5, (37, 61))
    show(page, image, "my street.final.png")
    classes = classes_of(image)
    with page.expect_download() as download:
        page.get_by_role("button", name="Class map").click()
    assert download.value.suggested_filename == "my street.final_classes.png"
    saved = Image.open(download.value.path())
    assert saved.mode == "L"
    assert np.array_equal(np.asarray(saved), classes)
    hidden = int(classes[20, 30])
    page.locator("#legend input").nth(hidden).uncheck()
    page.locator("#divider").press("End")
    for _ in range(50):
        page.locator("#divider").press("ArrowLeft")
    with page.expect_download() as download:
        page.get_by_role("button", name="Overlay as shown").click()
    overlay = pixels(download.value.path().read_bytes()).astype(float)
    expected = np.where((classes == hidden)[..., None], image, blended(image, classes, OPACITY))
    expected[:, :30] = image[:, :30]
    assert overlay.shape == image.shape
    assert np.abs(np.delete(overlay - expected, 30, axis=1)).max() <= 2  # the divider crosses column 30


def test_other_forms_are_segmented_as_they_are_shown(page):
    for form in ("bmp", "gif", "avif", "webp"):
        image = np.repeat(picture(17)[..., :1], 3, axis=2)  # grey, which GIF holds exactly
        choose(page, encoded(image, form, quality=100), f"street.{form}", f"image/{form}")
        expect(page.locator("#status")).to_contain_text(f"street.{form}: ")
        shown = drawn(page, "#base")
        point(page, 5, 5, (60, 80))
        assert told(page).endswith(f" {percent_of(shown)[5, 5]}%")


def test_pictures_that_a_camera_has_turned(page):
    for form in ("jpeg", "png", "webp"):
        image = picture(6, (40, 60))
        exif = Image.Exif()
        exif[0x0112] = 6
        choose(page, encoded(image, form, exif=exif, quality=95), f"turned.{form}", f"image/{form}")
        expect(page.locator("#status")).to_contain_text(f"turned.{form}: ")
        upright = np.rot90(image, -1)
        shown = drawn(page, "#base")
        assert shown.shape == (60, 40, 3)
        assert np.abs(shown[5, 5].astype(int) - upright[5, 5]).max() < 16
        point(page, 5, 5, (60, 40))
        assert abs(int(told(page).split()[-1].rstrip("%")) - percent_of(upright)[5, 5]) < 6


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_dropped_and_pasted_pictures(page, way):
    image = picture(7)
    transfer = page.evaluate_handle(
        """bytes => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
          return transfer;
        }""",
        list(png(image)),
    )
    if way == "drop":
        page.dispatch_event("#stage", "dragenter", {"dataTransfer": transfer})
        expect(page.locator(".droptarget")).to_be_visible()
        page.dispatch_event("#stage", "drop", {"dataTransfer": transfer})
        expect(page.locator(".droptarget")).to_be_hidden()
    else:
        page.evaluate("data => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }))", transfer)
    expect(page.locator("#status")).to_contain_text("given.png: ")
    point(page, 33, 33, (60, 80))
    assert told(page).endswith(f" {percent_of(image)[33, 33]}%")


def test_a_newer_choice_discards_the_answer_to_an_older_one(page, site):
    site.gate.clear()
    choose(page, png(picture(8, (60, SLOW_WIDTH))), "slow.png")
    expect(page.locator("#status")).to_have_text("slow.png is being segmented.")
    show(page, picture(9), "fast.png")
    before = site.count()
    site.gate.set()
    while site.count() == before:
        page.wait_for_timeout(20)
    page.wait_for_timeout(100)
    expect(page.locator("#name")).to_have_text("fast.png")
    expect(page.locator("#status")).to_contain_text("fast.png: ")
    assert page.locator("#overlay").evaluate("canvas => canvas.width") == 80


def test_models(page):
    image = picture(10)
    show(page, image)
    page.get_by_label("Model").select_option("turned")
    expect(page.locator("#served")).to_have_text("turned, version 111111111111")
    names = page.locator("#legend .class").all_text_contents()
    point(page, 25, 25, (60, 80))
    assert told(page) == f"{names[11 - classes_of(image)[25, 25]]} {percent_of(image)[25, 25]}%"
    page.get_by_label("Model").select_option("indices only")
    expect(page.locator("#served")).to_have_text("indices only, version 222222222222")
    point(page, 25, 25, (60, 80))
    assert told(page) == names[classes_of(image)[25, 25]]


def test_a_model_of_other_classes(page):
    image = picture(11)
    show(page, image)
    expect(page.locator("#abstain")).to_be_enabled()
    page.get_by_label("Model").select_option("light")
    expect(page.locator("#served")).to_have_text("light, version 333333333333")
    assert page.locator("#legend .class").all_text_contents() == list(LIGHT.names)
    expect(page.locator("#abstain")).to_be_disabled()
    classes = image[..., 2] // 86
    assert np.array_equal(drawn(page, "#overlay"), LIGHT.palette_rgb[classes])
    point(page, 25, 25, (60, 80))
    assert told(page) == f"{LIGHT.names[classes[25, 25]]} {percent_of(image)[25, 25]}%"
    y, x = np.argwhere(classes == 1)[40].tolist()
    page.locator("#legend input").nth(1).uncheck()
    assert np.abs(seen_at(page, x, y, (60, 80)) - image[y, x]).max() <= 2
    page.get_by_label("Model").select_option("first")
    expect(page.locator("#served")).to_have_text("first, version 000000000000")
    assert len(page.locator("#legend .class").all_text_contents()) == 12
    assert np.array_equal(drawn(page, "#overlay"), blended(image, classes_of(image), 1))


def test_what_the_server_does_not_take(page, site, troubles):
    troubles += ["413", "503"]
    notice = page.locator("#source-notice")
    choose(page, png(picture(0, (1500, 2001))))
    expect(notice).to_contain_text("more than")
    expect(notice.get_by_role("button")).to_have_count(0)
    expect(page.locator("#status")).to_have_text("")
    noise = np.random.default_rng(0).integers(0, 256, (540, 640, 3), dtype=np.uint8)
    choose(page, png(noise))
    expect(notice).to_contain_text("bytes")
    site.service.draining = True
    choose(page, png(picture(11)))
    expect(notice).to_contain_text("The server is about to end")
    site.service.draining = False
    notice.get_by_role("button", name="Try again").click()
    expect(page.locator("#status")).to_contain_text("street.png: ")
    expect(notice).to_be_hidden()


def test_what_is_no_picture_leaves_the_one_before(page):
    show(page, picture(12), "good.png")
    choose(page, b"only words", "words.txt", "text/plain")
    expect(page.locator("#source-notice")).to_contain_text("words.txt is not a picture")
    expect(page.locator("#name")).to_have_text("good.png")
    point(page, 1, 1, (60, 80))
    assert told(page)


def test_the_server_tells_what_is_wrong_with_a_damaged_picture(page, troubles):
    troubles.append("400")
    show(page, picture(12), "good.png")
    for form in ("jpeg", "png", "webp"):
        whole = encoded(picture(24, (300, 400)), form)
        choose(page, whole[: len(whole) // 2], f"half.{form}", f"image/{form}")
        expect(page.locator("#source-notice")).to_contain_text("Cannot read the picture: it is damaged, cut off")


def test_picture_that_only_the_server_can_read(page):
    image = picture(25)
    page.evaluate(
        """() => {
          const read = createImageBitmap;
          window.createImageBitmap = (file, ...rest) => file.name ? Promise.reject(new Error("")) : read(file, ...rest);
        }"""
    )
    show(page, image)
    assert np.array_equal(drawn(page, "#base"), image)


def test_names_are_text(page):
    show(page, picture(13), "<img src=x onerror=alert(1)>.png")
    expect(page.locator("#name")).to_have_text("<img src=x onerror=alert(1)>.png")


def test_server_out_of_reach(page, troubles):
    troubles.append("ERR_INTERNET_DISCONNECTED")
    show(page, picture(14))
    page.context.set_offline(True)
    with page.expect_download() as download:  # it is here already
        page.get_by_role("button", name="Class map").click()
    assert np.array_equal(np.asarray(Image.open(download.value.path())), classes_of(picture(14)))
    choose(page, png(picture(15)))
    expect(page.locator("#source-notice")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    page.locator("#source-notice").get_by_role("button", name="Try again").click()
    expect(page.locator("#status")).to_contain_text("street.png: ")


def test_downloads_do_not_stay_in_memory(page):
    show(page, picture(16))
    page.evaluate("window.setTimeout = (act, ms) => { if (ms <= 20_000) window.later = act; }")
    with page.expect_download():
        page.get_by_role("button", name="Overlay as shown").click()
    assert page.evaluate("urls.size") == 1
    page.evaluate("later()")
    assert page.evaluate("urls.size") == 0


def test_behind_a_token(browser, site):
    site.service.token = "secret"
    context = browser.new_context(http_credentials={"username": "anyone", "password": "secret"})
    try:
        page = context.new_page()
        page.goto(site.url)
        show(page, picture(19))
    finally:
        site.service.token = None
        context.close()
