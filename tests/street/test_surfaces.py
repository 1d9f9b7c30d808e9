"""What the street is painted with: textures, ground, houses and figures."""

import numpy as np
import pytest

from icnet.base.classes import CAMVID
from icnet.street import figures
from icnet.street.ground import SPAN_M, TEXEL_M, TILE_M, StreetPlan, paint_ground
from icnet.street.houses import PX_M, STOREY_M, House, paint_house
from icnet.street.texture import Texture, clouds, crown, hedge, sky

PLAN = StreetPlan()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_texture_is_halved_and_takes_nothing_foreign_in_at_its_outline() -> None:
    colour, alpha = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)
    colour[:, :29], alpha[:, :29] = 200, 255
    texture = Texture(colour, alpha)
    assert [level[0].shape[0] for level in texture.levels] == [64, 32, 16, 8, 4, 2]
    for image, cover in texture.levels:
        assert cover is not None
        assert np.abs(image[cover > 0].astype(int) - 200)[..., 0].max() <= 8, "the black beside it never shows"
    mirrored = texture.mirrored()
    assert mirrored.alpha is not None
    assert mirrored.alpha[0].tolist() == alpha[0, ::-1].tolist()


def test_noise_has_mean_0_and_deviation_1_and_coarse_blobs() -> None:
    noise = clouds(rng(), (96, 128), 4)
    assert (noise.mean(), noise.std()) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-3))
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.2 * np.abs(noise - noise[:, ::-1]).mean(), "neighbours are alike"


def test_the_sky_is_white_at_the_horizon_and_blue_above_if_asked() -> None:
    closed, open_ = (sky(rng(), blueness=blueness).colour.astype(float) for blueness in (0.0, 0.8))
    for image in (closed, open_):
        assert image[-1].min() > 235
    assert (open_[:200, :, 0] - open_[:200, :, 2]).mean() > (closed[:200, :, 0] - closed[:200, :, 2]).mean() + 10


def test_leaves_have_the_colour_asked_for_and_a_ragged_outline() -> None:
    tree, bush = crown(rng(), (64, 90, 82)), hedge(rng(), (64, 90, 82))
    assert tree.alpha is not None
    assert 0.3 < (tree.alpha > 127).mean() < 0.8
    slender = crown(rng(), (64, 90, 82), spread=0.6)
    assert slender.alpha is not None
    assert (slender.alpha > 127).mean() < 0.8 * (tree.alpha > 127).mean()
    for texture, seen in ((tree, tree.alpha > 127), (bush, np.ones(bush.colour.shape[:2], bool))):
        blue, green, red = texture.colour[seen].mean(axis=0)
        assert green > red > blue


def test_the_street_swings_to_one_side_and_is_as_wide_as_planned() -> None:
    assert PLAN.point(0, 0).tolist() == [0, 0, 0]
    assert PLAN.point(PLAN.bend_length / 2, 1.5, 2)[[0, 2]].tolist() == pytest.approx([2 * PLAN.bend + 1.5, 2])
    for y in (10.0, 80.0, 200.0):
        slope = (PLAN.centre(y + 0.5) - PLAN.centre(y - 0.5)).item()
        assert np.tan(PLAN.heading(y)) == pytest.approx(slope, abs=1e-3)


def test_the_ground_is_classed_by_its_distance_and_marked() -> None:
    ground = paint_ground(rng(), PLAN)
    offsets = np.array([0, PLAN.half_road - 0.01, PLAN.half_road + 0.01, PLAN.front - 0.01, PLAN.front + 0.01])
    expected = ["Road", "Road", "Pavement", "Pavement", "Tree"]
    for side in (1, -1):
        assert [CAMVID.names[index] for index in ground.classes(side * offsets)] == expected
    assert ground.colour.shape == (round(TILE_M / TEXEL_M), round(2 * SPAN_M / TEXEL_M), 3)
    middle = ground.colour[:, ground.colour.shape[1] // 2].mean(axis=1)
    dash, gap = (middle[[round(at / TEXEL_M) for at in np.arange(start, TILE_M, 6)]].mean() for start in (2, 5))
    assert dash > gap + 40, "four metres of white, two of asphalt"
    assert ground.level(2, 1).shape[:2] == (ground.colour.shape[0] // 4, ground.colour.shape[1] // 2)
    assert ground.level(2, 1) is ground.level(2, 1)


@pytest.mark.parametrize("shop", [False, True])
def test_a_house_has_storeys_and_panes_darker_than_its_wall(shop: bool) -> None:
    houses: list[House] = [paint_house(rng(seed), shop=shop) for seed in range(4)]
    for house in houses:
        storeys = (house.eaves_m - 0.6) / STOREY_M
        assert storeys == pytest.approx(round(storeys))
        assert 2 <= round(storeys) <= 4
        assert house.front.colour.shape[:2] == (round(house.eaves_m * PX_M), round(house.width_m * PX_M))
        grey = house.front.colour.mean(axis=2)
        wall = np.median(grey[:, :8])
        assert (grey < 0.75 * wall).mean() > 0.03, "windows"
    assert len({house.front.colour.shape for house in houses}) > 1


@pytest.mark.parametrize("sideways", [False, True])
@pytest.mark.parametrize("paint", [figures.walker, figures.rider])
def test_people_step_on_the_ground_and_move_through_their_phases(paint, sideways: bool) -> None:
    pictures = paint(rng(1), sideways=sideways)
    assert len(pictures) == figures.PHASES
    outlines = [picture.alpha for picture in pictures]
    for outline in outlines:
        assert (outline > 127).any(axis=1)[-12:].any(), "the feet or the wheels are down"
        assert 0.1 < (outline > 127).mean() < 0.7
    assert any(not np.array_equal(outline, outlines[0]) for outline in outlines)


def test_lights_and_signs_differ_in_what_they_say() -> None:
    go, stop = (figures.traffic_light(go=go).colour.astype(int) for go in (True, False))
    half = len(go) // 2
    assert (stop[:half, :, 2] - go[:half, :, 2]).max() > 80, "red is above"
    assert (go[half:, :, 1] - stop[half:, :, 1]).max() > 80, "green is below"
    assert len({figures.sign(rng(seed)).colour.tobytes() for seed in range(6)}) >= 3


def test_fences_are_closed_or_have_gaps_that_are_no_holes() -> None:
    assert figures.railings(rng()).alpha is None, "annotators fill them"
    bike, ridden = figures.parked_bike(rng()), figures.rider(rng(), sideways=True)[0]
    assert bike.alpha is not None
    assert ridden.alpha is not None
    assert (bike.alpha > 127).sum() < (ridden.alpha > 127).sum(), "nobody sits on it"
