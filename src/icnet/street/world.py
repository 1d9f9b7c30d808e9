"""The street as a world: what stands where, and who moves how."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from icnet.base.classes import CAMVID
from icnet.street.canvas import Air, Card
from icnet.street.ground import Ground, StreetPlan
from icnet.street.texture import Texture
from icnet.street.vehicles import Vehicle

PEDESTRIAN = CAMVID.index("Pedestrian")


def upright(at: np.ndarray, size_m: tuple[float, float], look: tuple[Texture, int], *, order: float | None = None) -> Card:
    """A card that faces back along the street.

    Args:
        at: (3,) metres, the middle of its bottom edge.
        size_m: width and height.
        look: texture and class.
        order: painter's order; by default its own place.
    """
    half, up = np.array([size_m[0] / 2, 0, 0]), np.array([0, 0, size_m[1]])
    return Card(np.stack([at - half + up, at + half + up, at + half, at - half]), *look, at[1] if order is None else order)


@dataclass(frozen=True)
class Mover:
    """Something that moves along or across the street at a constant speed."""

    start: tuple[float, float]
    """y, and offset from the centre line, in metres at time 0."""
    speed: tuple[float, float]
    """The same, in metres per second."""
    pictures: Sequence[Texture] = ()
    """Pictures of one cycle of steps; empty for a vehicle."""
    size_m: tuple[float, float] = (1.0, 1.85)
    label: int = PEDESTRIAN
    cycle_m: float = 1.5
    """Way covered in one cycle."""
    vehicle: Vehicle | None = None

    def cards(self, time_s: float, plan: StreetPlan) -> list[Card]:
        """Its surfaces at a time."""
        y, offset = (a + v * time_s for a, v in zip(self.start, self.speed, strict=True))
        at = plan.point(y, offset)
        if self.vehicle is not None:
            turn = np.pi if self.speed[0] < 0 else 0.0
            # What stands beside a vehicle, as a lamp on the pavement, is behind it: its near end decides.
            near = y - self.vehicle.body.half_length
            return self.vehicle.cards((at[0], at[1]), plan.heading(y) + turn, near)
        way = float(np.hypot(*self.speed)) * time_s
        phase = int(way / self.cycle_m * len(self.pictures) + self.start[0]) % len(self.pictures)
        return [upright(at, self.size_m, (self.pictures[phase], self.label))]


@dataclass(frozen=True)
class World:
    """A street with everything in it."""

    plan: StreetPlan
    ground: Ground
    sky: Texture
    air: Air
    fixed: list[Card]
    movers: list[Mover]
    parked: list[tuple[Vehicle, float, float, float]]
    """Vehicle, y, offset, and turn in radians relative to the street."""

    @cached_property
    def parked_cards(self) -> list[Card]:
        """Surfaces of the parked vehicles."""
        cards = []
        for vehicle, y, offset, turn in self.parked:
            at = self.plan.point(y, offset)
            cards += vehicle.cards((at[0], at[1]), self.plan.heading(y) + turn, y - vehicle.body.half_length)
        return cards

    def cards(self, time_s: float) -> list[Card]:
        """Every surface at a time."""
        return self.fixed + self.parked_cards + [card for mover in self.movers for card in mover.cards(time_s, self.plan)]

    def shadows(self, time_s: float) -> list[np.ndarray]:
        """(4, 3) patches of ground in the shade of each vehicle, rider and walker."""
        patches = [
            self._patch(y, offset, vehicle.body.half_length, vehicle.body.half_width) for vehicle, y, offset, _ in self.parked
        ]
        for mover in self.movers:
            y, offset = (a + v * time_s for a, v in zip(mover.start, mover.speed, strict=True))
            body = mover.vehicle.body if mover.vehicle else None
            patches.append(self._patch(y, offset, *((body.half_length, body.half_width) if body else (0.3, 0.3))))
        return patches

    def _patch(self, y: float, offset: float, half_length: float, half_width: float) -> np.ndarray:
        far, near, aside = y + half_length * 1.3 + 0.2, y - half_length * 1.3 - 0.2, half_width * 1.35 + 0.1
        corners = ((far, offset - aside), (far, offset + aside), (near, offset + aside), (near, offset - aside))
        return np.stack([self.plan.point(*corner) for corner in corners])
