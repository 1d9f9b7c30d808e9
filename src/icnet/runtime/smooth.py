"""Steadier class maps of a film: scores are blended over time where the picture only moves.

A network judges every frame afresh, so the classes of borders and of doubtful places flicker. Here the scores of the frames
before follow the picture by dense optical flow (DIS, arXiv 1603.03590), and count where the picture that followed so looks like
the present one. Where it does not, because something was covered, appeared or turned, only the present frame counts. Nothing
of the future is used.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from icnet.base.errors import UsageError

KEEP = 0.7
"""What the past counts, of one, where the picture is the same: the memory is about three frames long."""

SAME, OTHER = 3.0, 12.0
"""Grey levels between the picture and the one before: up to the first the past counts in full, from the second on not at all."""

CUT = 0.5
"""A picture that changed by more than this share is another scene, in which whatever looks the same does so by chance."""

_BLUR = 3
"""Cells over whose square the difference is averaged: one that is the same by chance among others does not count."""

_LEAST = 12
"""Cells that the longer side of a picture must have for optical flow."""


@dataclass(frozen=True, eq=False)
class _Past:
    """What is known of the frame before."""

    picture: np.ndarray
    """(h, w, 3) uint8 BGR cells."""
    grey: np.ndarray
    """(h, w) uint8."""
    scores: np.ndarray
    """(C, H, W) float32, smoothed."""


class Smoother:
    """Smooths the scores of one film or camera; another one needs a smoother of its own.

    It begins anew by itself at a cut and when the size changes.
    """

    def __init__(self) -> None:
        self._past: _Past | None = None
        self._flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(1)  # half the cells' resolution; the preset's quarter is too coarse for cells

    def __call__(self, data: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """Smooth the scores of the next frame.

        Args:
            data: (1, H, W, 3) uint8 BGR, the network's input. Not needed after the call.
            raw: (1, C, h, w) float scores that the network gave for it, `logits` or `soft`. Not needed after the call.

        Returns:
            (1, C, h, w) float32, read-only. Equal to `raw` for the first frame, after a cut, and wherever the picture changed.

        Raises:
            UsageError: `raw` holds class indices, which cannot be blended.
        """
        if raw.ndim != 4:
            raise UsageError("this model gives class indices only and cannot be smoothed: use one whose output is soft or logits")
        picture = _halved(_halved(data[0]))  # the cells of the logits; two steps are four times as fast as one
        grey, scores, past = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.asarray(raw[0], np.float32), self._past
        if past is not None and (past.picture.shape, past.scores.shape) == (picture.shape, scores.shape):
            scores = self._blended(past, picture, grey, scores)
        else:
            scores = scores.copy()
        scores.setflags(write=False)
        self._past = _Past(picture, grey, scores)
        return scores[np.newaxis]

    def _blended(self, past: _Past, picture: np.ndarray, grey: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """New scores: those of the past blended in where the picture allows it, or after a cut a copy."""
        motion = np.zeros((*grey.shape, 2), np.float32) if max(grey.shape) < _LEAST else self._flow.calc(grey, past.grey, None)
        changed = _change(past.picture, picture, motion)
        if changed.mean() > CUT:
            return scores.copy()
        share: np.ndarray = KEEP * (1 - changed)
        if scores.shape[1:] != grey.shape:
            height, width = scores.shape[1:]
            scale = np.array((width / grey.shape[1], height / grey.shape[0]), np.float32)
            share, motion = cv2.resize(share, (width, height)), cv2.resize(motion * scale, (width, height))
        where, fraction = cv2.convertMaps(*_origin(motion), cv2.CV_16SC2)
        result = np.empty_like(scores)
        for new, old, plane in zip(result, past.scores, scores, strict=True):
            cv2.remap(old, where, fraction, cv2.INTER_LINEAR, dst=new, borderMode=cv2.BORDER_REPLICATE)
            new -= plane
            new *= share
            new += plane  # exactly the present where the share is zero
        return result


def _halved(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


def _origin(motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each cell was in the frame before, x and y, (h, w) float32, from how far away that is, (h, w, 2) float32."""
    height, width = motion.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return motion[..., 0] + x, motion[..., 1] + y[:, np.newaxis]


def _change(before: np.ndarray, after: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """(h, w) float32 from 0, the same, to 1, changed, between two (h, w, 3) uint8 pictures.

    `motion`, (h, w, 2) float32, is how far from each cell of `after` it was in `before`.
    """
    followed = cv2.remap(before, *_origin(motion), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    blurred = cv2.boxFilter(cv2.absdiff(followed, after), cv2.CV_32F, (_BLUR, _BLUR))
    difference = cv2.transform(blurred, np.full((1, 3), 1 / 3, np.float32))
    return np.asarray(np.clip((difference - SAME) / (OTHER - SAME), 0, 1))
