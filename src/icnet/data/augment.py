"""Seeded augmentation of an image and its labels together: scale, crop, flip, light and colour."""

from dataclasses import dataclass

import cv2
import numpy as np

from icnet.base.classes import OUTSIDE
from icnet.base.errors import UsageError
from icnet.base.sample import Sample
from icnet.data.taught import cut_answers

_LEAST_BLUR = 0.2
"""Below this deviation in pixels a blur changes nothing to speak of."""

_UNSHARP = 1.0
"""Deviation in pixels of the blur that is subtracted to sharpen."""


@dataclass(frozen=True)
class Augmentation:
    """How far a training crop may differ from the image."""

    scale: tuple[float, float] = (0.5, 1.5)
    """Range of the zoom, drawn log-uniformly; 1 shows objects at the size that they have in a 720x960 input."""
    aspect: float = 1.1
    """Height and width are scaled apart by up to this factor."""
    flip: bool = True
    brightness: float = 0.2
    """Largest shift of brightness, as a share of full white."""
    contrast: float = 0.25
    """Largest relative change of contrast."""
    saturation: float = 0.3
    """Largest relative change of saturation."""
    tint: float = 0.06
    """Largest relative change of each colour channel: white balance."""
    blur: float = 0.0
    """Largest standard deviation, in pixels, of a Gaussian blur, which half of the crops get."""
    sharpness: float = 0.0
    """Largest amount of unsharp masking, which the other half get."""
    mixture: float = 0.0
    """Share of the crops that are blended with another one, as in mixup (Zhang et al., arXiv 1710.09412). They have no labels:
    only a teacher knows what they show."""

    def __post_init__(self) -> None:
        """Refuse what no picture could be changed by.

        Raises:
            UsageError: a range is out of order or a strength below zero.
        """
        low, high = self.scale
        if not (0 < low <= high and self.aspect >= 1):
            raise UsageError(f"augmentation scale {low} to {high}, aspect {self.aspect}: expected 0 < low <= high and 1 or more")
        if self.mixture > 1 or self.mixture < 0:
            raise UsageError(f"augmentation mixture {self.mixture}: expected a share from 0 to 1")
        if min(self.brightness, self.contrast, self.saturation, self.tint, self.blur, self.sharpness) < 0:
            raise UsageError("augmentation: brightness, contrast, saturation, tint, blur and sharpness must be 0 or more")


def random_crop(
    sample: Sample,
    crop_hw: tuple[int, int],
    network_hw: tuple[int, int],
    options: Augmentation,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Cut a randomly scaled, placed, flipped and tinted window of `crop_hw` out of a sample of any size.

    The sample is thought of as resized to `network_hw` first, the size at which the network will see whole images; all
    randomness comes from `generator`.

    Returns:
        (h, w, 3) uint8 BGR, (h, w) uint8 labels, `OUTSIDE` where the window reaches over the image, and what the sample has of a
        teacher's answers, see `cut_answers`.
    """
    zoom = np.exp(generator.uniform(*np.log(options.scale)))
    stretch = options.aspect ** generator.uniform(-0.5, 0.5)
    height, width = sample.labels.shape
    scale_y = zoom * stretch * network_hw[0] / height
    scale_x = zoom / stretch * network_hw[1] / width
    # Top left corner of the window in source pixels; where the window is larger than the image, anywhere around it.
    slack_y, slack_x = height - crop_hw[0] / scale_y, width - crop_hw[1] / scale_x
    top, left = generator.uniform() * slack_y, generator.uniform() * slack_x
    if options.flip and generator.uniform() < 0.5:
        step_x, left = -1 / scale_x, left + crop_hw[1] / scale_x
    else:
        step_x = 1 / scale_x
    # Half-pixel centres, as cv2.resize and the network's own resizes have them.
    inverse = np.array([[step_x, 0, left + step_x / 2 - 0.5], [0, 1 / scale_y, top + 0.5 / scale_y - 0.5]])
    size_wh = (crop_hw[1], crop_hw[0])
    image = cv2.warpAffine(
        sample.image, inverse, size_wh, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    labels = cv2.warpAffine(
        sample.labels,
        inverse,
        size_wh,
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=OUTSIDE,
    )
    answers = None if sample.answers is None else cut_answers(sample.answers, inverse, (height, width), crop_hw)
    return focused(photometric(image, options, generator), options, generator), labels, answers


def photometric(image: np.ndarray, options: Augmentation, generator: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast, saturation and white balance of a (H, W, 3) uint8 image.

    All four are one affine map of the colour, so one pass over the pixels applies them.
    """
    brightness = generator.uniform(-options.brightness, options.brightness) * 255
    contrast = 1 + generator.uniform(-options.contrast, options.contrast)
    saturation = 1 + generator.uniform(-options.saturation, options.saturation)
    tint = 1 + generator.uniform(-options.tint, options.tint, 3)
    grey = np.tile([0.114, 0.587, 0.299], (3, 1))  # luma of BGR, ITU-R BT.601
    colour = saturation * np.eye(3) + (1 - saturation) * grey
    matrix = contrast * tint[:, None] * colour
    offset = np.full(3, 127.5 * (1 - contrast) + brightness)
    return cv2.transform(image, np.column_stack([matrix, offset]))


def focused(image: np.ndarray, options: Augmentation, generator: np.random.Generator) -> np.ndarray:
    """Blur or sharpen a (H, W, 3) uint8 image: cameras differ more in sharpness than the pictures of one dataset do."""
    if not (options.blur or options.sharpness):
        return image
    strength = generator.uniform(-1, 1)
    if strength < 0:
        deviation = -strength * options.blur
        return cv2.GaussianBlur(image, (0, 0), deviation) if deviation > _LEAST_BLUR else image
    amount = strength * options.sharpness
    return cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), _UNSHARP), -amount, 0)
