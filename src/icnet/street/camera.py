"""The car's camera: a pinhole that drives, bobs and sways.

World axes, in metres: x to the right of the street, y along it, z up; the road is the plane z = 0.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

FOCAL_WIDTHS = 0.95
"""Focal length in image widths at 4:3, which is about 56 degrees across, as a dashboard camera has."""

HORIZON = 0.47
"""Height of the horizon in a level view, as a fraction of the image height from its top."""


@dataclass(frozen=True)
class Camera:
    """One pose of the camera.

    Pixels are square. An image of another shape than 4:3 shows a part of the 4:3 view, never more.
    """

    position: tuple[float, float, float]
    """x, y, z of the lens in metres."""
    yaw: float
    """Radians to the right of the y axis."""
    pitch: float
    """Radians upwards."""
    roll: float
    """Radians clockwise."""
    size_hw: tuple[int, int]
    """Height and width of the image in pixels."""

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        height, width = self.size_hw
        return FOCAL_WIDTHS * max(width, height * 4 / 3)

    @cached_property
    def projection(self) -> np.ndarray:
        """(3, 3) float64: an offset from the lens in metres to (u * depth, v * depth, depth) in pixels and metres."""
        height, width = self.size_hw
        sin, cos = np.sin([self.yaw, self.pitch, self.roll]), np.cos([self.yaw, self.pitch, self.roll])
        right = np.array([cos[0], -sin[0], 0.0])
        forward = np.array([sin[0] * cos[1], cos[0] * cos[1], sin[1]])
        down = np.cross(forward, right)
        rolled = np.stack([cos[2] * right + sin[2] * down, cos[2] * down - sin[2] * right, forward])
        focal = self.focal_px
        # The horizon keeps its place in the 4:3 view; a flatter image is cut from the middle of that view.
        centre_v = (height - 1) / 2 + (HORIZON - 0.5) * focal / FOCAL_WIDTHS * 0.75
        intrinsic = np.array([[focal, 0.0, (width - 1) / 2], [0.0, focal, centre_v], [0.0, 0.0, 1.0]])
        return np.asarray(intrinsic @ rolled)

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) in metres to homogeneous pixels (..., 3); the last component is the depth in metres."""
        return np.asarray((points - np.asarray(self.position)) @ self.projection.T)


def clip_near(points: np.ndarray, near_m: float) -> np.ndarray:
    """Cut a convex polygon of homogeneous pixels (N, 3) at a depth; (M, 3), empty when nothing lies beyond it."""
    kept: list[np.ndarray] = []
    for here, there in zip(points, np.roll(points, -1, axis=0), strict=True):
        inside, next_inside = here[2] >= near_m, there[2] >= near_m
        if inside:
            kept.append(here)
        if inside != next_inside:
            share = (near_m - here[2]) / (there[2] - here[2])
            kept.append(here + share * (there - here))
    return np.array(kept).reshape(-1, 3)
