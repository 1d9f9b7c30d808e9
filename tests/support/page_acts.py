"""What tests do with the page, and what they see of it."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
from page_site import pixels, png
from PIL import Image

COUNT_URLS = """
window.urls = new Set();
const make = URL.createObjectURL, drop = URL.revokeObjectURL;
URL.createObjectURL = (blob) => { const url = make.call(URL, blob); window.urls.add(url); return url; };
URL.revokeObjectURL = (url) => { window.urls.delete(url); drop.call(URL, url); };
"""
"""Lets tests see which blobs still have an address."""

KEEP_STREAM = """small => {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const few = { video: { width: 320, height: 240 } };
  navigator.mediaDevices.getUserMedia = async (wanted) => (window.stream = await ask(small ? few : wanted));
}"""
"""Lets tests see the camera's stream, and makes it small if they ask for it: large frames cost most of their time."""

FRAME_RATE = re.compile(r"^\d+(\.\d)? fps$")


def choose(page, file: bytes, name: str = "street.png", kind: str = "image/png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": file})


def show(page, image: np.ndarray, name: str = "street.png") -> None:
    """Choose a picture and wait for its classes."""
    choose(page, png(image), name)
    page.locator("#status", has_text=f"{name}: ").wait_for(state="attached")


def open_camera(page, *, small: bool = True) -> None:
    """Start the camera and wait for its frames."""
    page.evaluate(KEEP_STREAM, small)
    page.get_by_role("button", name="Webcam").click()
    page.locator("#rate", has_text=FRAME_RATE).wait_for()


def seen(page) -> np.ndarray:
    """(H, W, 3): the frame with the picture as it is on the screen."""
    return pixels(page.locator("#frame").screenshot())


def drawn(page, name: str) -> np.ndarray:
    """(H, W, 3) uint8: the pixels of a canvas without transparency."""
    address = page.locator(name).evaluate("canvas => canvas.toDataURL()")
    image = Image.open(BytesIO(b64decode(address.partition(",")[2])))
    assert image.getextrema()[-1] == (255, 255)
    return np.asarray(image.convert("RGB"))


def seen_at(page, x: int, y: int, size_hw: tuple[int, int]) -> np.ndarray:
    """The colour on the screen in the middle of a pixel of the picture."""
    image = seen(page)
    return image[int((y + 0.5) * image.shape[0] / size_hw[0]), int((x + 0.5) * image.shape[1] / size_hw[1])].astype(float)


def point(page, x: int, y: int, size_hw: tuple[int, int]) -> None:
    """Move the mouse to the middle of a pixel of the picture."""
    box = page.locator("#surface").bounding_box()
    page.mouse.move(box["x"] + (x + 0.5) * box["width"] / size_hw[1], box["y"] + (y + 0.5) * box["height"] / size_hw[0])


def told(page) -> str:
    """What the label at the pointer says."""
    return page.locator("#chip .text").text_content()
