"""The stock of painted surfaces that streets are put together from."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from icnet.street import figures
from icnet.street.bodies import BUS, HATCHBACK, SALOON, VAN
from icnet.street.houses import House, paint_house
from icnet.street.texture import Texture, crown, hedge, sky
from icnet.street.vehicles import PAINTS, Vehicle, paint_vehicle

LIBRARIES = 4
"""Number of different sets of painted surfaces; streets differ in layout and light, and share these."""


@dataclass(frozen=True)
class Library:
    """Painted surfaces that streets are put together from."""

    houses: tuple[House, ...]
    shops: tuple[House, ...]
    crowns: tuple[Texture, ...]
    hedges: tuple[Texture, ...]
    fences: tuple[Texture, ...]
    signs: tuple[Texture, ...]
    lights: tuple[Texture, ...]
    lantern: Texture
    vehicles: tuple[Vehicle, ...]
    bus: Vehicle
    walkers: tuple[list[Texture], ...]
    crossers: tuple[list[Texture], ...]
    riders: tuple[list[Texture], ...]
    side_riders: tuple[list[Texture], ...]
    parked_bikes: tuple[Texture, ...]
    skies: tuple[Texture, ...]


@lru_cache(maxsize=LIBRARIES)
def library(number: int) -> Library:
    """Paint a set of surfaces; the same number gives the same surfaces."""
    rng = np.random.default_rng([7, number])
    leaves = ((64, 90, 82), (54, 78, 70), (76, 92, 94), (62, 76, 80))
    bodies = (HATCHBACK, HATCHBACK, SALOON, HATCHBACK, SALOON, VAN, HATCHBACK, SALOON, VAN)
    paints = rng.permutation(len(PAINTS))
    return Library(
        houses=tuple(paint_house(rng, shop=False) for _ in range(8)),
        shops=tuple(paint_house(rng, shop=True) for _ in range(6)),
        crowns=tuple(crown(rng, colour, spread=float(rng.uniform(0.8, 1.1))) for colour in leaves),
        hedges=tuple(hedge(rng, colour) for colour in leaves[:2]),
        fences=(figures.boards(rng), figures.railings(rng)),
        signs=tuple(figures.sign(rng) for _ in range(6)),
        lights=tuple(figures.traffic_light(go=go) for go in (True, False)),
        lantern=figures.lantern(),
        vehicles=tuple(paint_vehicle(body, PAINTS[paint]) for body, paint in zip(bodies, paints, strict=True)),
        bus=paint_vehicle(BUS, PAINTS[(3, 4)[int(rng.integers(2))]]),
        walkers=tuple(figures.walker(rng, sideways=False) for _ in range(8)),
        crossers=tuple(figures.walker(rng, sideways=True) for _ in range(3)),
        riders=tuple(figures.rider(rng, sideways=False) for _ in range(3)),
        side_riders=tuple(figures.rider(rng, sideways=True) for _ in range(2)),
        parked_bikes=tuple(figures.parked_bike(rng) for _ in range(2)),
        skies=tuple(sky(rng, blueness=blueness) for blueness in (0.0, 0.1, 0.35, 0.8)),
    )
