"""Lays streets out: terraces, gaps, furniture, parked vehicles, people and traffic."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from icnet.base.classes import CAMVID
from icnet.street.canvas import Air, Card
from icnet.street.ground import StreetPlan, paint_ground
from icnet.street.houses import House
from icnet.street.library import LIBRARIES, library
from icnet.street.texture import Texture, flat, rounded_post
from icnet.street.vehicles import Vehicle
from icnet.street.world import Mover, World, upright

T = TypeVar("T")

BUILDING, POLE, TREE, SIGN, FENCE, BIKE = (
    CAMVID.index(name) for name in ("Building", "Pole", "Tree", "SignSymbol", "Fence", "Bike")
)
VIEW_M = 170.0
"""The street goes on this far beyond the end of the drive, and ends at a row of houses."""


class Builder:
    """Lays a street out; every random choice comes from one generator, in a fixed order."""

    def __init__(self, seed: int, drive_m: float) -> None:
        self.rng = np.random.default_rng([11, seed])
        self.paint = library(seed % LIBRARIES)
        self.end_m = drive_m + VIEW_M
        self.plan = StreetPlan(
            half_road=self._between(4.3, 5.0),
            pavement=self._between(2.6, 3.8),
            bend=self._between(-3.5, 3.5),
        )
        self.sun = self._between(-0.4, 0.4)
        """How much lighter the left side of the street is than the right."""
        self.cards: list[Card] = []
        self.movers: list[Mover] = []
        self.parked: list[tuple[Vehicle, float, float, float]] = []

    def build(self) -> World:
        """The whole street."""
        for side in (-1, 1):
            self._frontage(side)
            self._backdrop(side)
            self._furniture(side)
            self._kerbside(side)
            self._people(side)
        self._far_end()
        self._traffic()
        light = self.rng.integers(len(self.paint.skies))
        air = Air(colour=self._between(205, 228), range_m=self._between(350, 600))
        return World(
            self.plan, paint_ground(self.rng, self.plan), self.paint.skies[light], air, self.cards, self.movers, self.parked
        )

    def _between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def _pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def _along(
        self, side: int, span: tuple[float, float], away: float, heights: tuple[float, float], look: tuple[Texture, int]
    ) -> None:
        """A wall along the street, facing it."""
        near, far = (self.plan.point(y, side * away) for y in span)
        left, right = (near, far) if side < 0 else (far, near)
        low, high = (np.array([0, 0, height]) for height in heights)
        # Its far end decides: whatever stands before that end stands in front of the wall.
        order = span[1] + (away - self.plan.front)
        self.cards.append(Card(np.stack([left + high, right + high, right + low, left + low]), *look, order, 1 - side * self.sun))

    def _house(self, house: House, side: int, y: float, away: float) -> None:
        """A house whose front begins at y."""
        far, ridge = y + house.width_m, house.eaves_m + house.ridge_m
        order = far + away - self.plan.front
        inner, outer = side * away, side * (away + 8)
        left, right = (self.plan.point(y, offset) for offset in sorted((inner, outer)))
        top = np.array([0, 0, ridge])
        self.cards.append(Card(np.stack([left + top, right + top, right, left]), house.gable, BUILDING, order, 0.85))
        if house.ridge_m:
            eaves = [self.plan.point(at, side * (away - 0.25), house.eaves_m) for at in (y, far)]
            peak = [self.plan.point(at, side * (away + 4), ridge) for at in (y, far)]
            corners = [peak[0], peak[1], eaves[1], eaves[0]] if side < 0 else [peak[1], peak[0], eaves[0], eaves[1]]
            self.cards.append(Card(np.stack(corners), house.roof, BUILDING, order, 1.2))
            stack = self.plan.point(y + 0.5, side * (away + 4), ridge - 0.4)
            self.cards.append(upright(stack, (0.9, 1.5), (_CHIMNEY, BUILDING), order=order))
        self._along(side, (y, far), away, (0, house.eaves_m), (house.front, BUILDING))

    def _frontage(self, side: int) -> None:
        """Terraces at the pavement or behind front gardens, and gaps with fences, hedges and trees."""
        front = self.plan.front
        y = -12.0 - self._between(0, 8)
        while y < self.end_m:
            garden = float(self.rng.choice([0.0, 0.0, 2.6]))
            houses = self.paint.shops if garden == 0 and self.rng.random() < 0.55 else self.paint.houses
            for _ in range(int(self.rng.integers(2, 5))):
                house = self._pick(houses)
                self._house(house, side, y, front + garden)
                if garden:
                    self._screen(side, (y, y + house.width_m))
                y += house.width_m
            gap = self._between(6, 15)
            self._screen(side, (y, y + gap))
            for _ in range(int(self.rng.integers(1, 3))):
                self._tree(self._between(y + 2, y + gap - 2), side * (front + self._between(2, 5)))
            y += gap

    def _screen(self, side: int, span: tuple[float, float]) -> None:
        """A fence or a hedge along the back of the pavement."""
        look = ((self.paint.fences[0], FENCE), (self.paint.fences[1], FENCE), (self._pick(self.paint.hedges), TREE))
        chosen, height = look[int(self.rng.choice([0, 1, 1, 2]))], self._between(1.1, 1.7)
        at = span[0]
        while at < span[1] - 0.1:
            piece = min(3.0, span[1] - at)
            self._along(side, (at, at + piece), self.plan.front + 0.05, (0, height), chosen)
            at += piece

    def _backdrop(self, side: int) -> None:
        """Houses and trees a block away, which fill the gaps."""
        y = 0.0
        while y < self.end_m + 30:
            house = self._pick(self.paint.houses)
            self._along(side, (y, y + house.width_m), self.plan.front + 17, (0, house.eaves_m), (house.front, BUILDING))
            if self.rng.random() < 0.5:
                self._tree(y + 3, side * (self.plan.front + 12))
            y += house.width_m

    def _tree(self, y: float, offset: float) -> None:
        """A tree with its trunk at that place."""
        height, gain = self._between(6, 11), self._between(0.8, 1.25)
        at = self.plan.point(y, offset)
        trunk = upright(at, (0.3, height * 0.5), (_TRUNK, TREE))
        leaves = upright(
            at + np.array([0, 0, height * 0.22]), (height * 0.72, height * 0.8), (self._pick(self.paint.crowns), TREE)
        )
        self.cards += [trunk, replace(leaves, gain=gain)]

    def _post(self, y: float, offset: float, height: float, width: float = 0.11) -> np.ndarray:
        at = self.plan.point(y, offset)
        self.cards.append(upright(at, (width, height), (_POST, POLE)))
        return at

    def _furniture(self, side: int) -> None:
        """Lamps, signs and traffic lights along the kerb, and street trees."""
        line = self.plan.half_road + 0.5
        for y in np.arange(9.0 + 13 * (side > 0), self.end_m, 26.0):
            at = self._post(float(y), side * line, 7.5, 0.15)
            arm = at + np.array([-side * 0.7, 0, 7.4])
            self.cards.append(upright(arm, (1.5, 0.09), (_POST, POLE)))
            self.cards.append(upright(arm + np.array([-side * 0.9, 0, -0.05]), (0.8, 0.25), (self.paint.lantern, POLE)))
        y = self._between(12, 20)
        while y < self.end_m:
            height = self._between(2.2, 2.9)
            at = self._post(y, side * (line + 0.1), height, 0.08)
            plate = at + np.array([0, -0.06, height - 0.75])
            self.cards.append(upright(plate, (0.75, 0.75), (self._pick(self.paint.signs), SIGN)))
            y += self._between(12, 24)
        for y in (58.0, 61.0, 118.0, 171.0):
            at = self._post(y, side * (line - 0.1), 3.4, 0.12)
            self.cards.append(upright(at + np.array([0, -0.08, 2.3]), (0.5, 1.15), (self.paint.lights[int(y) // 50 % 2], SIGN)))
        for y in np.arange(self._between(30, 50), self.end_m, 21.0):
            self._tree(float(y), side * (self.plan.front - 0.4))

    def _kerbside(self, side: int) -> None:
        """Parked vehicles, and bicycles at stands."""
        y = self._between(6, 18)
        while y < self.end_m:
            for _ in range(int(self.rng.integers(1, 4))):
                vehicle = self._pick(self.paint.vehicles)
                y += vehicle.body.half_length
                offset = side * (self.plan.half_road - vehicle.body.half_width - 0.15)
                turn = np.pi if side > 0 or self.rng.random() < 0.15 else 0.0
                self.parked.append((vehicle, y, offset, turn + float(self.rng.normal(0, 0.02))))
                y += vehicle.body.half_length + self._between(0.7, 1.6)
            y += self._between(16, 42)
        for y in np.arange(self._between(14, 26), self.end_m, 37.0):
            for place in range(int(self.rng.integers(2, 5))):
                at = self.plan.point(float(y) + 0.8 * place, side * (self.plan.half_road + 1.2))
                self.cards.append(upright(at, (1.9, 1.85), (self._pick(self.paint.parked_bikes), BIKE)))

    def _people(self, side: int) -> None:
        """Walkers on the pavement, alone and in pairs."""
        y = self._between(8, 14)
        while y < self.end_m:
            speed = float(self.rng.choice([-1.0, 1.0]) * self.rng.uniform(1.0, 1.5))
            for place in range(int(self.rng.choice([1, 1, 2, 2, 3]))):
                offset = side * (
                    self.plan.half_road + 0.8 + (0.65 * place + self.rng.uniform(0, 0.3)) % (self.plan.pavement - 1.1)
                )
                size = self._between(0.9, 1.05)
                walker = Mover((y + 0.3 * place, offset), (speed, 0.0), self._pick(self.paint.walkers), (size, 1.85 * size))
                self.movers.append(walker)
            y += self._between(6, 16)

    def _traffic(self) -> None:
        """Cars ahead and oncoming, riders, and people who cross."""
        lane = self.plan.half_road * 0.3
        self.movers.append(Mover((24.0, -lane), (9.6, 0.0), vehicle=self._pick(self.paint.vehicles)))
        for y in np.arange(40.0, 420.0, 44.0):
            vehicle = self.paint.bus if y == 128.0 else self._pick(self.paint.vehicles)
            self.movers.append(Mover((float(y + self.rng.uniform(-8, 8)), lane - 0.1), (-8.0, 0.0), vehicle=vehicle))
        bike = {"size_m": (1.9, 1.85), "label": BIKE, "cycle_m": 5.0}
        for y, offset, speed in (
            (13.0, -lane - 1.0, 4.6),
            (52.0, -lane - 1.0, 4.0),
            (47.0, lane + 1.2, -4.2),
            (120.0, lane + 1.2, -4.5),
        ):
            self.movers.append(Mover((y, offset), (speed, 0.0), self._pick(self.paint.riders), **bike))  # type: ignore[arg-type]
        for y, start in ((46.0, -6.0), (83.0, -11.0), (110.0, -16.0)):
            self.movers.append(Mover((y, start), (0.0, 1.4), self._pick(self.paint.crossers)))
        self.movers.append(Mover((92.0, -26.0), (0.0, 4.0), self._pick(self.paint.side_riders), **bike))  # type: ignore[arg-type]

    def _far_end(self) -> None:
        """A row of houses across the end of the street, with trees in front."""
        x = -70.0
        while x < 70:
            house = self._pick(self.paint.houses)
            at = self.plan.point(self.end_m + 20, x + house.width_m / 2)
            self.cards.append(upright(at, (house.width_m, house.eaves_m), (house.front, BUILDING), order=self.end_m + 200))
            if self.rng.random() < 0.6:
                self._tree(self.end_m + self._between(2, 18), x)
            x += house.width_m


_POST = rounded_post((74, 76, 76))
_TRUNK = rounded_post((44, 52, 58))
_CHIMNEY = flat((58, 70, 92))
