"""Shapes of vehicles: profiles and proportions in metres."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Body:
    """Shape of a kind of vehicle in metres: length along, height up, the middle of the ground below it as origin."""

    profile: tuple[tuple[float, float], ...]
    """(forward, up) from the rear bumper over the roof to the front bumper."""
    faces: tuple[str, ...]
    """What each stretch of the profile is: bumper, rear, glass, paint or front."""
    half_width: float
    belt: float
    """Height where the windows begin; the body narrows above it."""
    roof_half_width: float
    frame: tuple[int, int, int, int]
    """Profile points of the side windows' frame: rear top, front top, front bottom, rear bottom."""
    posts: tuple[float, ...] = (0.04, 0.34, 0.65, 0.96)
    """Posts between the side windows, as fractions of the frame from the rear."""
    wheel: float = 0.31
    axles: float = 1.27
    """Distance of the axles from the middle."""

    @property
    def half_length(self) -> float:
        return max(point[0] for point in self.profile)

    def half_width_at(self, up: float) -> float:
        """Half of the width at a height."""
        top = max(point[1] for point in self.profile)
        share = np.clip((up - self.belt) / max(top - self.belt, 1e-6), 0, 1)
        return float(self.half_width + share * (self.roof_half_width - self.half_width))


def _profile(forward: tuple[float, ...], up: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    return tuple(zip(forward, up, strict=True))


_CAR_FACES = ("bumper", "rear", "glass", "paint", "glass", "paint", "front", "bumper")
HATCHBACK = Body(
    _profile(
        (-1.95, -2.0, -1.93, -1.55, 0.25, 1.05, 1.85, 2.0, 1.95),
        (0.28, 0.55, 0.97, 1.42, 1.45, 0.97, 0.8, 0.52, 0.25),
    ),
    _CAR_FACES,
    0.84,
    0.97,
    0.63,
    (3, 4, 5, 2),
)
SALOON = Body(
    _profile(
        (-2.2, -2.25, -2.18, -1.65, -1.0, 0.2, 1.0, 2.1, 2.25, 2.2),
        (0.28, 0.55, 0.95, 1.0, 1.4, 1.42, 0.95, 0.78, 0.52, 0.25),
    ),
    ("bumper", "rear", "paint", "glass", "paint", "glass", "paint", "front", "bumper"),
    0.86,
    0.98,
    0.64,
    (4, 5, 6, 3),
    axles=1.36,
)
VAN = Body(
    _profile((-2.35, -2.4, -2.35, -2.3, 1.1, 1.75, 2.3, 2.4, 2.35), (0.3, 0.6, 1.2, 2.05, 2.1, 1.25, 1.05, 0.55, 0.3)),
    _CAR_FACES,
    0.95,
    1.25,
    0.86,
    (3, 4, 5, 2),
    posts=(0.71, 0.96),
    wheel=0.34,
    axles=1.5,
)
BUS = Body(
    _profile((-5.0, -5.0, -5.0, -4.9, 4.7, 4.95, 5.0, 5.0, 5.0), (0.35, 0.8, 1.3, 3.0, 3.0, 1.3, 1.0, 0.6, 0.35)),
    _CAR_FACES,
    1.22,
    1.3,
    1.16,
    (3, 4, 5, 2),
    posts=(0.02, 0.17, 0.32, 0.48, 0.63, 0.79, 0.98),
    wheel=0.48,
    axles=3.0,
)
