"""The painter against geometry that is worked out by hand."""

import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.street.camera import Camera
from icnet.street.canvas import Air, Canvas, Card
from icnet.street.ground import StreetPlan, paint_ground
from icnet.street.texture import Texture, flat

BUILDING, ROAD, PAVEMENT, POLE = (CAMVID.names.index(name) for name in ("Building", "Road", "Pavement", "Pole"))
CLEAR = Air(range_m=1e9)
SIZE = (240, 320)


def camera(yaw: float = 0.0, position: tuple[float, float, float] = (0.0, 0.0, 1.5)) -> Camera:
    return Camera(position, yaw=yaw, pitch=0.0, roll=0.0, size_hw=SIZE)


def facing(x: tuple[float, float], y: float, z: tuple[float, float]) -> np.ndarray:
    return np.array([[x[0], y, z[1]], [x[1], y, z[1]], [x[1], y, z[0]], [x[0], y, z[0]]], dtype=np.float64)


def test_projection_of_known_points() -> None:
    # The focal length is 0.95 * 320 = 304 pixels; the horizon lies 0.03 * 240 above the middle, at 119.5 - 7.2.
    points = camera().project(np.array([[0.0, 10.0, 1.5], [1.0, 10.0, 1.5], [0.0, 10.0, 0.5]]))
    pixels = points[:, :2] / points[:, 2:]
    np.testing.assert_allclose(pixels, [[159.5, 112.3], [189.9, 112.3], [159.5, 142.7]], atol=1e-6)
    np.testing.assert_allclose(points[:, 2], 10)


def test_yaw_to_the_right_moves_the_world_to_the_left() -> None:
    ahead = np.array([0.0, 10.0, 1.5])
    straight, turned = (camera(yaw).project(ahead) for yaw in (0.0, 0.1))
    assert turned[0] / turned[2] < straight[0] / straight[2] - 20


def test_card_covers_its_outline_and_keeps_its_texture_upright() -> None:
    quarters = np.zeros((64, 64, 3), dtype=np.uint8)
    quarters[:32, :32], quarters[:32, 32:], quarters[32:, :32], quarters[32:, 32:] = 50, 100, 150, 200
    canvas = Canvas(camera(), CLEAR)
    canvas.draw([Card(facing((-2, 2), 10, (0, 3)), Texture(quarters), BUILDING, 10)])
    # x = +-2 m at 10 m is 159.5 +- 60.8; z = 3 m and 0 m are 112.3 -+ 45.6.
    rows, columns = np.nonzero(canvas.labels == BUILDING)
    np.testing.assert_allclose((columns.min(), columns.max(), rows.min(), rows.max()), (98.7, 220.3, 66.7, 157.9), atol=1)
    assert [int(canvas.image[v, u, 0]) for v, u in ((80, 110), (80, 210), (150, 110), (150, 210))] == [50, 100, 150, 200]


def test_card_seen_from_behind_is_not_painted() -> None:
    canvas = Canvas(camera(), CLEAR)
    canvas.draw([Card(facing((2, -2), 10, (0, 3)), flat((200, 200, 200)), BUILDING, 10)])
    assert not canvas.image.any()
    assert BUILDING not in canvas.labels


@pytest.mark.parametrize("swap", [False, True])
def test_nearer_card_hides_the_farther_one(swap: bool) -> None:
    far = Card(facing((-3, 3), 12, (0, 4)), flat((10, 10, 10)), BUILDING, order=12)
    near = Card(facing((-0.2, 0.2), 8, (0, 4)), flat((200, 200, 200)), POLE, order=8)
    canvas = Canvas(camera(), CLEAR)
    canvas.draw([near, far] if swap else [far, near])
    assert canvas.labels[120, 160] == POLE
    assert canvas.labels[120, 200] == BUILDING
    np.testing.assert_array_equal(canvas.image[..., 0] == 200, canvas.labels == POLE)


def test_outline_of_a_texture_cuts_image_and_class_map_alike() -> None:
    alpha = np.zeros((64, 64), dtype=np.uint8)
    alpha[:, :32] = 255
    canvas = Canvas(camera(), CLEAR)
    canvas.draw([Card(facing((-2, 2), 10, (0, 3)), Texture(np.full((64, 64, 3), 90, np.uint8), alpha), POLE, 10)])
    columns = np.nonzero(canvas.labels == POLE)[1]
    assert abs(columns.max() - 159.5) <= 1.5
    np.testing.assert_array_equal(canvas.image[..., 0] > 0, canvas.labels == POLE)


def test_wall_that_reaches_behind_the_lens_looks_as_its_visible_part_alone() -> None:
    stripes = np.repeat(np.arange(20, 220, 10, dtype=np.uint8), 16)  # 20 stripes along 20 m
    texture = Texture(np.tile(stripes[None, :, None], (64, 1, 3)))
    part = Texture(np.tile(stripes[None, 6 * 16 :, None], (64, 1, 3)))

    def wall(low: float, high: float, look: Texture) -> np.ndarray:
        corners = np.array([[-3.0, low, 4], [-3.0, high, 4], [-3.0, high, 0], [-3.0, low, 0]])
        canvas = Canvas(camera(), CLEAR)
        canvas.draw([Card(corners, look, BUILDING, high)])
        return canvas.image

    whole, visible = wall(-4, 16, texture), wall(2, 16, part)
    both = (whole[..., 0] > 0) & (visible[..., 0] > 0)
    assert both.sum() > 5000
    difference = np.abs(whole.astype(int) - visible)[both]
    assert np.median(difference) <= 1
    assert difference.mean() < 2


def test_trapezium_has_its_corners_where_they_project() -> None:
    corners = np.array([[-1.0, 10, 3], [1.0, 10, 3], [2.0, 10, 0], [-2.0, 10, 0]])
    card = Card(corners, flat((1, 1, 1)), BUILDING, 0)
    unit = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]], dtype=float)
    a, b, weight = card.warp @ unit
    points = corners[0] + (a / weight)[:, None] * (corners[1] - corners[0]) + (b / weight)[:, None] * (corners[3] - corners[0])
    np.testing.assert_allclose(points, corners, atol=1e-5)


def test_ground_changes_class_at_the_kerb_and_at_the_fronts() -> None:
    plan = StreetPlan(half_road=4.0, pavement=2.0, bend=3.0)
    canvas = Canvas(camera(), CLEAR)
    canvas.draw_ground(paint_ground(np.random.default_rng(0), plan))
    for y in (12.0, 25.0, 40.0):
        for offset, name in ((-6.5, "Tree"), (-5.0, "Pavement"), (-3.5, "Road"), (0.0, "Road"), (3.5, "Road"), (5.0, "Pavement")):
            u, v, depth = camera().project(plan.point(y, offset))
            row, column = round(v / depth), round(u / depth)
            if 0 <= column < SIZE[1]:
                assert CAMVID.names[canvas.labels[row, column]] == name, (y, offset)
    assert not np.isin(canvas.labels[:112], (ROAD, PAVEMENT)).any()  # the horizon is at 112.3


def test_shadow_darkens_the_ground_only() -> None:
    plan = StreetPlan()
    canvas = Canvas(camera(), CLEAR)
    canvas.draw_ground(paint_ground(np.random.default_rng(0), plan))
    before, labels = canvas.image.copy(), canvas.labels.copy()
    corners = np.array([[-1.0, 12, 0], [1.0, 12, 0], [1.0, 8, 0], [-1.0, 8, 0]])
    canvas.shadow(corners, np.full((16, 16), 128, dtype=np.uint8))
    u, v, depth = camera().project(np.array([0.5, 10.0, 0.0]))
    at = (round(v / depth), round(u / depth))
    np.testing.assert_allclose(canvas.image[at], before[at] * (128 / 255), atol=1)
    np.testing.assert_array_equal(canvas.labels, labels)
    assert (canvas.image <= before).all()
    np.testing.assert_array_equal(canvas.image[-20:], before[-20:])


def test_haze_pales_what_is_far() -> None:
    canvas = Canvas(camera(), Air(colour=200, range_m=100))
    canvas.draw([Card(facing((-20, 20), 100, (0, 40)), flat((0, 0, 0)), BUILDING, 100)])
    assert abs(int(canvas.image[80, 160, 0]) - 200 * (1 - np.exp(-1))) <= 1
