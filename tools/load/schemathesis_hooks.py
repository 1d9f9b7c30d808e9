"""Tells schemathesis what a picture is: without it hardly any generated request would get as far as the model."""

import cv2
import numpy as np
import schemathesis
from hypothesis import strategies as st


def _pictures(suffix: str) -> st.SearchStrategy[bytes]:
    def made(height: int, width: int, grey: int) -> bytes:
        return cv2.imencode(suffix, np.full((height, width, 3), grey, np.uint8))[1].tobytes()

    return st.builds(made, st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))


for _suffix, _name in (
    (".jpg", "image/jpeg"),
    (".png", "image/png"),
    (".webp", "image/webp"),
    (".png", "application/octet-stream"),
):
    schemathesis.openapi.media_type(_name, _pictures(_suffix))
