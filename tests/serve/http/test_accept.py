import pytest

from icnet.serve.http.accept import preferred

PNG, JPEG, GEO, JSON = OFFERS = ("image/png", "image/jpeg", "application/geo+json", "application/json")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, PNG),
        ("", PNG),
        ("*/*", PNG),
        ("image/*", PNG),
        ("application/*", GEO),
        ("image/jpeg", JPEG),
        ("IMAGE/JPEG ; Q=0.5", JPEG),
        ("application/json", JSON),
        ("application/json;charset=utf-8", JSON),
        ("application/json, */*", JSON),  # what is named is meant
        ("*/*, application/json", JSON),
        ("text/html, image/webp, image/*, */*;q=0.8", PNG),
        ("application/geo+json, application/json", GEO),
        ("application/json, application/geo+json;q=0.9", JSON),
        ("image/png;q=0.2, image/jpeg;q=0.3", JPEG),
        ("image/png;q=0, */*", JPEG),
        ("image/*;q=0, */*;q=0.1", GEO),
        ("image/*;q=0.9, image/png;q=0.1", JPEG),
        ("image/png;level=1;q=0.3, image/jpeg;q=0.4", JPEG),
        ("image/png;q=0.333, image/jpeg;q=0.334", JPEG),
        ("no range, image/jpeg", JPEG),
        ("image/jpeg;q=1.000", JPEG),
        (f"{'x/y,' * 5000} image/jpeg", JPEG),
    ],
)
def test_the_best_one_is_chosen(accept, chosen):
    assert preferred(accept, OFFERS) == chosen


@pytest.mark.parametrize(
    "accept", ["text/html", "*/*;q=0", "image/png;q=0.0", "image", "*", "*/png", "a/b/c", ";q=1", "\0", "image/"]
)
def test_nothing_fits(accept):
    assert preferred(accept, OFFERS) is None
