"""The synthetic street: a drive through a painted street, with an exact class for every pixel.

It needs no data and no download, so the demo and the tests use it, and training can mix it with CamVid.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from icnet.base.classes import CAMVID, Classes
from icnet.base.errors import UsageError
from icnet.base.sample import Sample
from icnet.street.builder import Builder
from icnet.street.camera import Camera
from icnet.street.canvas import Canvas
from icnet.street.lens import expose
from icnet.street.world import World

SPEED_M_S = 9.0
"""Speed of the camera's car: 32 km/h."""

MIN_SIDE = 32

EXPOSURE = (0.75, 1.35)
"""Range of exposures; a bright one loses the sky to white, as CamVid does."""

BONNET_EVERY = 4
"""In one street of so many the car's bonnet shows at the bottom, without a label, as in some CamVid drives."""


@dataclass(frozen=True)
class StreetOptions:
    """What to render."""

    seed: int = 0
    """Chooses the street, its light and its traffic."""
    size_hw: tuple[int, int] = (720, 960)
    """Height and width of a frame in pixels."""
    fps: float = 15.0
    """Frames per second."""
    seconds: float = 8.0
    """Length of the drive."""
    noise: float = 2.0
    """Standard deviation of the sensor noise in grey levels; 0 for none."""
    camera_m: float = 1.35
    """Height of the lens above the road."""

    def __post_init__(self) -> None:
        """Refuse what cannot be rendered."""
        if min(self.size_hw) < MIN_SIDE:
            raise UsageError(
                f"street size is {self.size_hw[0]}x{self.size_hw[1]}: give at least {MIN_SIDE}x{MIN_SIDE} (height x width)"
            )
        if self.fps <= 0 or self.seconds <= 0 or round(self.fps * self.seconds) < 1:
            raise UsageError(f"a drive of {self.seconds} s at {self.fps} fps has no frame: give positive values")
        if self.seed < 0 or self.noise < 0 or self.camera_m <= 0:
            raise UsageError(
                f"seed {self.seed}, noise {self.noise}, camera_m {self.camera_m}: none may be negative, nor the height 0"
            )


class StreetDrive:
    """A drive as a dataset of consecutive frames; a frame depends on the options and its index only."""

    def __init__(self, options: StreetOptions | None = None) -> None:
        self.options = options or StreetOptions()
        rng = np.random.default_rng([3, self.options.seed])
        self._phases = rng.uniform(0, 2 * np.pi, 6)
        self._exposure = float(rng.uniform(*EXPOSURE))

    @property
    def classes(self) -> Classes:
        """CamVid's."""
        return CAMVID

    def __len__(self) -> int:
        """Number of frames."""
        return round(self.options.fps * self.options.seconds)

    def __getitem__(self, index: int) -> Sample:
        """Render a frame; a negative index counts from the end."""
        index = _checked(index, len(self))
        canvas = self._paint(index)
        rng = np.random.default_rng([4, self.options.seed, index])
        image = expose(canvas.image, rng, exposure=self._exposure, noise=self.options.noise)
        return Sample(f"street_{self.options.seed:03d}_{index:04d}", image, canvas.labels)

    def camera(self, time_s: float) -> Camera:
        """The camera at a time: it keeps its lane, and bobs and sways as a car does."""
        options, plan = self.options, self._world.plan
        wave = [
            float(np.sin(2 * np.pi * rate * time_s + phase))
            for rate, phase in zip((1.3, 0.9, 0.21, 0.17, 2.1, 0.6), self._phases, strict=True)
        ]
        y = SPEED_M_S * time_s
        at = plan.point(y, -0.3 * plan.half_road + 0.12 * wave[2], options.camera_m + 0.015 * wave[0])
        return Camera(
            position=(float(at[0]), float(at[1]), float(at[2])),
            yaw=plan.heading(y) + 0.012 * wave[3],
            pitch=0.0025 * wave[1] + 0.0012 * wave[4],
            roll=0.004 * wave[5],
            size_hw=options.size_hw,
        )

    @property
    def _world(self) -> World:
        return _world(self.options.seed, SPEED_M_S * self.options.seconds)

    def _paint(self, index: int, *, flat: bool = False) -> Canvas:
        """Paint a frame without the lens; flat gives each class its palette colour."""
        time_s, world = index / self.options.fps, self._world
        camera = self.camera(time_s)
        canvas = Canvas(camera, world.air, flat=flat)
        canvas.draw_sky(world.sky)
        canvas.draw_ground(world.ground)
        for patch in world.shadows(time_s):
            canvas.shadow(patch, _SHADOW)
        canvas.draw(world.cards(time_s))
        if self.options.seed % BONNET_EVERY == BONNET_EVERY - 1:
            canvas.draw_bonnet()
        return canvas


@dataclass(frozen=True)
class StreetSet:
    """Independent scenes for training: each index is another street, moment, camera height and exposure."""

    count: int
    """Number of scenes."""
    seed: int = 0
    """Sets of different seeds share no scene."""
    size_hw: tuple[int, int] = (720, 960)
    """Height and width of an image in pixels."""

    def __post_init__(self) -> None:
        """Refuse an empty set."""
        if self.count < 1 or self.seed < 0:
            raise UsageError(f"a street set of {self.count} scenes and seed {self.seed}: give at least 1 scene and a seed from 0")
        StreetOptions(size_hw=self.size_hw)

    @property
    def classes(self) -> Classes:
        """CamVid's."""
        return CAMVID

    def __len__(self) -> int:
        """Number of scenes."""
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """Render a scene; a negative index counts from the end."""
        index = _checked(index, self.count)
        rng = np.random.default_rng([6, self.seed, index])
        options = StreetOptions(
            seed=int(rng.integers(1, 2**31)),
            size_hw=self.size_hw,
            noise=float(rng.uniform(0.5, 4)),
            camera_m=float(rng.uniform(1.15, 1.9)),
        )
        drive = StreetDrive(options)
        sample = drive[int(rng.integers(len(drive)))]
        return replace(sample, name=f"streetset_{self.seed:03d}_{index:05d}")


def _checked(index: int, length: int) -> int:
    """An index from 0, of one that may count from the end.

    Raises:
        IndexError: there is no such item.
    """
    if not -length <= index < length:
        raise IndexError(f"index {index} of a street with {length} images")
    return index % length


@lru_cache(maxsize=2)
def _world(seed: int, drive_m: float) -> World:
    return Builder(seed, drive_m).build()


def _soft_patch() -> np.ndarray:
    """(64, 64) uint8 light that remains under an object: little in the middle, all at the edge."""
    dark = np.zeros((64, 64), dtype=np.float32)
    dark[8:56, 8:56] = 0.65
    return (255 * (1 - cv2.GaussianBlur(dark, (0, 0), 3.5))).astype(np.uint8)


_SHADOW = _soft_patch()
