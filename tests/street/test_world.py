"""What stands and moves in the street, and how the lens shows it."""

import numpy as np
import pytest

from icnet.street.bodies import BUS, HATCHBACK, SALOON, VAN, Body
from icnet.street.builder import Builder
from icnet.street.camera import Camera, clip_near
from icnet.street.ground import StreetPlan
from icnet.street.lens import expose
from icnet.street.texture import flat
from icnet.street.vehicles import VEHICLE, paint_vehicle
from icnet.street.world import PEDESTRIAN, Mover, World, upright

STRAIGHT = StreetPlan(bend=0)


@pytest.mark.parametrize("body", [HATCHBACK, SALOON, VAN, BUS])
def test_a_body_is_closed_and_narrows_above_its_belt(body: Body) -> None:
    assert len(body.faces) == len(body.profile) - 1
    assert body.half_width_at(0) == body.half_width_at(body.belt) == body.half_width
    assert body.half_width_at(max(up for _, up in body.profile)) == body.roof_half_width < body.half_width
    assert body.axles + body.wheel < body.half_length


def test_a_vehicle_has_its_size_where_it_stands_and_turns() -> None:
    cards = paint_vehicle(SALOON, (150, 150, 148)).cards((3.0, 20.0), 0.0, 5.0)
    assert {(card.label, card.order) for card in cards} == {(VEHICLE, 5.0)}
    corners = np.concatenate([card.corners for card in cards])
    assert np.abs(corners[:, 0] - 3).max() == pytest.approx(SALOON.half_width)
    assert np.abs(corners[:, 1] - 20).max() == pytest.approx(SALOON.half_length)
    assert corners[:, 2].min() == 0
    turned = np.concatenate([card.corners for card in paint_vehicle(SALOON, (0, 0, 0)).cards((3.0, 20.0), np.pi / 2, 5.0)])
    assert np.abs(turned[:, 0] - 3).max() == pytest.approx(SALOON.half_length)
    aside = np.concatenate([card.corners for card in paint_vehicle(SALOON, (0, 0, 0)).cards((3.0, 20.0), 0.3, 5.0)])
    middle = np.array([3.0, 20.0, 0.0])
    np.testing.assert_allclose(np.linalg.norm(aside - middle, axis=1), np.linalg.norm(corners - middle, axis=1))


def test_a_walker_goes_its_way_step_by_step() -> None:
    pictures = [flat((value, value, value)) for value in range(4)]
    mover = Mover((10.0, 2.0), (0.5, 0.0), pictures, cycle_m=2.0)
    first, later = (mover.cards(time_s, STRAIGHT)[0] for time_s in (0.0, 1.0))
    assert first.label == PEDESTRIAN
    np.testing.assert_allclose(later.corners - first.corners, np.tile([0, 0.5, 0], (4, 1)), atol=1e-9)
    shown = [pictures.index(mover.cards(time_s, STRAIGHT)[0].texture) for time_s in (0, 1, 2, 3, 4)]
    assert [(one - shown[0]) % 4 for one in shown] == [0, 1, 2, 3, 0], "a quarter of the cycle each half metre"


def test_what_comes_towards_us_is_turned_and_its_near_end_orders_it() -> None:
    vehicle = paint_vehicle(HATCHBACK, (44, 42, 42))
    (away, *_), (towards, *_) = (Mover((30.0, 2.0), (v, 0.0), vehicle=vehicle).cards(0, STRAIGHT) for v in (5.0, -5.0))
    assert away.order == towards.order == 30 - HATCHBACK.half_length
    np.testing.assert_allclose(away.corners[:, :2] + towards.corners[:, :2], np.tile([4, 60], (4, 1)), atol=1e-9)


def test_a_card_stands_on_its_place() -> None:
    card = upright(np.array([1.0, 8.0, 0.5]), (2.0, 3.0), (flat((1, 2, 3)), 7))
    assert card.corners.tolist() == [[0, 8, 3.5], [2, 8, 3.5], [2, 8, 0.5], [0, 8, 0.5]]
    assert card.order == 8


def test_everything_has_its_shadow_below_it() -> None:
    world: World = Builder(0, 100).build()
    shadows = world.shadows(1.0)
    assert len(shadows) == len(world.parked) + len(world.movers)
    assert all((shadow[:, 2] == 0).all() for shadow in shadows)
    vehicle, y, offset, _ = world.parked[0]
    assert np.ptp(shadows[0][:, 1]) > 2 * vehicle.body.half_length
    np.testing.assert_allclose(shadows[0].mean(axis=0)[1], y, atol=1e-6)
    assert shadows[0][:, 0].min() < world.plan.point(y, offset)[0] < shadows[0][:, 0].max()
    assert len(world.cards(0)) == len(world.fixed) + len(world.parked_cards) + sum(
        len(mover.cards(0, world.plan)) for mover in world.movers
    )


def test_a_polygon_is_cut_at_the_lens() -> None:
    square = np.array([[0.0, 0, 2], [4, 0, 2], [4, 4, -2], [0, 4, -2]])
    kept = clip_near(square, 1.0)
    assert kept[:, 2].min() == pytest.approx(1)
    assert len(kept) == 4
    assert clip_near(square, 3.0).shape == (0, 3)
    np.testing.assert_array_equal(clip_near(square[:2], 1.0), square[:2])


def test_pitch_and_roll_move_the_horizon_as_a_camera_does() -> None:
    far = np.array([0.0, 1e6, 1.5])

    def v_of(**pose: float) -> float:
        seen = Camera((0.0, 0.0, 1.5), **{"yaw": 0.0, "pitch": 0.0, "roll": 0.0, **pose}, size_hw=(720, 960)).project(far)
        return float(seen[1] / seen[2])

    level = v_of()
    assert level == pytest.approx(719 / 2 - 0.03 * 720)
    assert v_of(pitch=0.1) == pytest.approx(level + 0.95 * 960 * np.tan(0.1), abs=0.1), "looking up lowers it"
    assert v_of(roll=0.1) == pytest.approx(level, abs=0.1), "its middle stays"
    rolled = Camera((0.0, 0.0, 1.5), yaw=0.0, pitch=0.0, roll=0.1, size_hw=(720, 960))
    for offset, place, expected in (([3e5, 1e6, 0], 1, -0.3 * np.sin(0.1)), ([0, 1e6, -3e5], 0, 0.3 * np.sin(0.1))):
        seen = rolled.project(np.array(offset) + rolled.position)
        middle = level if place else 959 / 2
        assert seen[place] / seen[2] - middle == pytest.approx(expected * rolled.focal_px, abs=0.1), "it turns to the left"


def test_the_lens_darkens_its_corners_and_blurs_and_the_sensor_multiplies() -> None:
    grey = np.full((90, 120, 3), 100, np.uint8)
    made = expose(grey, np.random.default_rng(0), exposure=1.5, noise=0)
    assert made[45, 60].tolist() == pytest.approx([150] * 3, abs=2)
    assert made[0, 0, 0] == pytest.approx(150 * 0.84, abs=2)
    edge = grey.copy()
    edge[:, 60:] = 200
    assert 100 < expose(edge, np.random.default_rng(0), exposure=1, noise=0)[45, 59, 0] < 140
