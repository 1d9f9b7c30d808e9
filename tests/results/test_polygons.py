import cv2
import numpy as np
import pytest

from icnet.results.polygons import Region, fill, regions

EVERY = range(12)


def noise(seed: int, size_hw: tuple[int, int], count: int) -> np.ndarray:
    """Single pixels, saddles, and regions along every border."""
    return np.random.default_rng(seed).integers(0, count, size_hw, dtype=np.uint8)


def blobs(seed: int, size_hw: tuple[int, int], count: int) -> np.ndarray:
    """Regions of all sizes, with regions in their holes."""
    fields = np.random.default_rng(seed).normal(size=(count, *size_hw)).astype(np.float32)
    return np.stack([cv2.GaussianBlur(field, (0, 0), 1.5) for field in fields]).argmax(axis=0).astype(np.uint8)


def shoelace(ring: np.ndarray) -> float:
    x, y = ring.astype(np.int64).T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def inside(region: Region, size_hw: tuple[int, int]) -> np.ndarray:
    return fill([region.outer, *region.holes], size_hw)


def check(classes: np.ndarray) -> None:
    """The regions of all classes are the components, exactly; their rings are what they promise."""
    found = regions(classes, EVERY)
    again = np.full(classes.shape, 255, np.uint8)
    times = np.zeros(classes.shape, int)
    for region in found:
        mask = inside(region, classes.shape)
        again[mask] = region.class_index
        times += mask
        assert region.area == mask.sum() == shoelace(region.outer) + sum(map(shoelace, region.holes))
        assert shoelace(region.outer) > 0
        assert all(shoelace(hole) < 0 for hole in region.holes)
        for ring in (region.outer, *region.holes):
            assert ring.dtype == np.int32
            steps = np.roll(ring, -1, axis=0) - ring
            assert ((steps != 0).sum(axis=1) == 1).all()  # along the grid
            assert ((steps[:, 0] != 0) != (np.roll(steps, 1, axis=0)[:, 0] != 0)).all()  # and round a corner at each point
            assert len(np.unique(ring, axis=0)) == len(ring)  # never the same point again
            assert ring[0].tolist() == min(ring.tolist(), key=lambda point: (point[1], point[0]))
        rows, columns = np.nonzero(mask)
        left, top = columns.min(), rows.min()
        assert region.bbox == (left, top, columns.max() + 1 - left, rows.max() + 1 - top)
    assert np.array_equal(again, classes)
    assert (times == 1).all()
    components = [cv2.connectedComponents((classes == index).astype(np.uint8), connectivity=4)[0] - 1 for index in EVERY]
    assert len(found) == sum(components)


def test_one_pixel():
    classes = np.full((3, 4), 5, np.uint8)
    classes[1, 2] = 7
    (region,) = regions(classes, [7])
    assert region.outer.tolist() == [[2, 1], [3, 1], [3, 2], [2, 2]]
    assert (region.class_index, region.holes, region.area, region.bbox) == (7, (), 1, (2, 1, 1, 1))
    (around,) = regions(classes, [5])
    assert around.outer.tolist() == [[0, 0], [4, 0], [4, 3], [0, 3]]
    assert [hole.tolist() for hole in around.holes] == [[[2, 1], [2, 2], [3, 2], [3, 1]]]
    assert (around.area, around.bbox) == (11, (0, 0, 4, 3))


def test_pixels_that_touch_at_a_corner_do_not_hang_together():
    classes = np.array([[1, 2], [2, 1]], np.uint8)
    assert [(region.class_index, region.outer[0].tolist(), len(region.outer)) for region in regions(classes, EVERY)] == [
        (1, [0, 0], 4),
        (2, [1, 0], 4),
        (2, [0, 1], 4),
        (1, [1, 1], 4),
    ]


def test_where_a_region_meets_itself_two_rings_touch():
    rows = ["1111.", "1.1..", "11.1.", "11111"]
    classes = np.array([[character == "1" for character in row] for row in rows], np.uint8)
    check(classes)
    (region,) = regions(classes, [1])
    assert region.outer.tolist() == [[0, 0], [4, 0], [4, 1], [3, 1], [3, 2], [4, 2], [4, 3], [5, 3], [5, 4], [0, 4]]
    assert [hole.tolist() for hole in region.holes] == [
        [[1, 1], [1, 2], [2, 2], [2, 1]],
        [[2, 2], [2, 3], [3, 3], [3, 2]],
    ]


def test_an_island_in_a_hole_is_a_region_of_its_own():
    classes = np.zeros((9, 9), np.uint8)
    for margin, index in ((1, 1), (2, 0), (3, 1), (4, 0)):
        classes[margin : 9 - margin, margin : 9 - margin] = index
    check(classes)
    assert [(region.class_index, region.area, len(region.holes)) for region in regions(classes, EVERY)] == [
        (0, 32, 1),
        (1, 24, 1),
        (0, 16, 1),
        (1, 8, 1),
        (0, 1, 0),
    ]


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (9, 1), (2, 2), (23, 31)])
@pytest.mark.parametrize("count", [1, 2, 3, 12])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", [noise, blobs])
def test_every_map_comes_back_exactly(kind, seed, count, size_hw):
    check(kind(seed, size_hw, count))


def test_any_layout_of_the_map():
    classes = blobs(3, (40, 30), 4)
    rings = [region.outer.tolist() for region in regions(classes, EVERY)]
    for other in (np.asfortranarray(classes), np.repeat(classes, 2, axis=1)[:, ::2]):
        assert [region.outer.tolist() for region in regions(other, EVERY)] == rings


def test_only_what_is_wanted():
    classes = blobs(1, (60, 80), 5)
    every = regions(classes, EVERY)
    some = regions(classes, [3, 1], min_area=40)
    expected = [region for region in every if region.class_index in (1, 3) and region.area >= 40]
    assert 0 < len(expected) < sum(region.class_index in (1, 3) for region in every)
    assert [region.outer.tolist() for region in some] == [region.outer.tolist() for region in expected]
    assert [len(region.holes) for region in some] == [len(region.holes) for region in expected]
    assert regions(classes, [9]) == regions(classes, []) == []


def test_min_area_counts_no_holes():
    classes = np.zeros((5, 5), np.uint8)
    classes[1:4, 1:4] = 1
    assert [region.area for region in regions(classes, [0], min_area=16)] == [16]
    assert regions(classes, [0], min_area=17) == []


def winds(ring: np.ndarray, x: float, y: float) -> bool:
    """Even-odd rule for one point, side by side."""
    odd = False
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (y0 <= y) != (y1 <= y) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x:
            odd = not odd
    return odd


@pytest.mark.parametrize("seed", range(6))
def test_fill_asks_for_the_middle_of_each_pixel(seed):
    rng = np.random.default_rng(seed)
    rings = [rng.uniform(-8, 30, (points, 2)) for points in (3, 7)]  # they cross themselves, each other and the border
    expected = [[winds(rings[0], x + 0.5, y + 0.5) != winds(rings[1], x + 0.5, y + 0.5) for x in range(24)] for y in range(17)]
    filled = fill(rings, (17, 24))
    assert filled.dtype == bool
    assert np.array_equal(filled, expected)


def test_fill_of_neighbours_shares_no_pixel():
    left, right = np.array([[0, 0], [2.5, 0.5], [2.5, 4], [0, 4]]), np.array([[2.5, 0.5], [6, 0], [6, 4], [2.5, 4]])
    filled = fill([left], (4, 6)).astype(int) + fill([right], (4, 6))
    assert (filled == 1).all()


def test_fill_of_nothing_and_of_what_lies_elsewhere():
    square = np.array([[0, 0], [5, 0], [5, 5], [0, 5]])
    assert not fill([], (4, 6)).any()
    assert fill([square * 100 - 50], (4, 6)).all()
    for shift in ((9, 0), (-9, 0), (0, 9), (0, -9)):
        assert not fill([square + shift], (4, 6)).any()
    assert fill([square], (0, 6)).shape == (0, 6)


@pytest.mark.whole
@pytest.mark.parametrize("seed", range(1000))
def test_many_maps_come_back_exactly(seed):
    rng = np.random.default_rng(seed)
    height, width, count = (int(value) for value in rng.integers(1, (40, 40, 13)))
    check((noise, blobs)[seed % 2](seed, (height, width), count))


@pytest.mark.whole
def test_a_map_of_48_megapixels():
    classes = cv2.resize(blobs(5, (600, 800), 12), (8000, 6000), interpolation=cv2.INTER_NEAREST)
    found = regions(classes, EVERY)
    assert sum(region.area for region in found) == classes.size
    counts = np.bincount(classes.ravel(), minlength=12)
    for index in EVERY:
        assert sum(region.area for region in found if region.class_index == index) == counts[index]
