"""Labels with a teacher's answers beside them, which are cut out, scaled and flipped as the labels are."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from icnet.base.classes import Classes
from icnet.base.sample import Dataset, Sample
from icnet.network.spec import OUTPUT_STRIDE as CELL


class Taught:
    """A dataset whose images a teacher has looked at, once and whole; the answers lie in memory."""

    def __init__(self, dataset: Dataset, answer: Callable[[np.ndarray], np.ndarray]):
        """Have every image of `dataset` answered.

        Args:
            dataset: what is learnt from.
            answer: gives the (h, w, C) float probabilities of an (H, W, 3) uint8 BGR image.
        """
        self._dataset = dataset
        self._answers = [np.rint(255 * answer(dataset[index].image)).astype(np.uint8) for index in range(len(dataset))]

    @property
    def classes(self) -> Classes:
        """Those of the dataset."""
        return self._dataset.classes

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        return replace(self._dataset[index], answers=self._answers[index])


def cut_answers(answers: np.ndarray, window: np.ndarray, sample_hw: tuple[int, int], crop_hw: tuple[int, int]) -> np.ndarray:
    """What a crop shows of a teacher's answers, in the cells of `icnet.data.cells`.

    Args:
        answers: (h, w, classes) uint8, over the whole sample.
        window: (2, 3) affine map from pixel indices of the crop to those of the sample.
        sample_hw: the sample's height and width.
        crop_hw: the crop's, multiples of 4.

    Returns:
        (H/4, W/4, classes) float32 probabilities, all 0 outside of the sample.
    """
    scale = np.array([answers.shape[1] / sample_hw[1], answers.shape[0] / sample_hw[0]])[:, None]
    linear, offset = window[:, :2], window[:, 2:]
    centre = linear @ np.full((2, 1), (CELL - 1) / 2) + offset  # of the first cell, in pixel indices of the sample
    inverse = np.hstack([scale * linear * CELL, scale * (centre + 0.5) - 0.5])
    size_wh = (crop_hw[1] // CELL, crop_hw[0] // CELL)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    # OpenCV warps four channels at once.
    parts = [
        cv2.warpAffine(answers[..., first : first + 4], inverse, size_wh, flags=flags) for first in range(0, answers.shape[2], 4)
    ]
    return np.dstack(parts).astype(np.float32) / 255


def blended(counts: np.ndarray, answers: np.ndarray, share: float) -> np.ndarray:
    """Class counts of cells, `share` of them a teacher's answers; (..., C) float16. Both are 0 where the picture ends."""
    return ((1 - share) * counts + share * CELL**2 * answers).astype(np.float16)
