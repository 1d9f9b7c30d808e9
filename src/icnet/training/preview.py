"""The first crops of a run with their labels drawn over them, so that wrong labels are seen before hours are spent on them."""

from pathlib import Path

import cv2
import numpy as np

from icnet.base.classes import Classes
from icnet.base.files import replacing
from icnet.data.batches import Batch, Batches
from icnet.network.spec import OUTPUT_STRIDE as CELL
from icnet.runtime.overlay import draw_overlay

PREVIEW = "train_batches.jpg"
"""Name of the picture in a run's folder."""

_CROPS, _WIDTH = 8, 480
"""Shown at most, and pixels across each; beside it stands the crop alone."""


def write_preview(path: Path, batches: Batches, classes: Classes) -> None:
    """Draw the first crops that the network will learn from, each beside itself with its labels.

    Args:
        path: of the picture.
        batches: of the run.
        classes: what its labels mean.

    Raises:
        OutputError: it cannot be written.
    """
    rows: list[np.ndarray] = []
    number = 0
    while len(rows) < _CROPS:
        rows += drawn(batches.batch(number), classes)
        number += 1
    rows = rows[:_CROPS]
    left, right = rows[::2], rows[1::2]
    picture = np.hstack([np.vstack(left), np.vstack(right)])
    with replacing(path) as temporary:
        cv2.imwrite(str(temporary), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])


def drawn(batch: Batch, classes: Classes) -> list[np.ndarray]:
    """Each crop of a batch beside itself with the class that has most of each 4x4 cell, as it is learnt: (h, w, 3) uint8 BGR.

    Cells outside of the picture, and those that are ignored, have no colour.
    """
    rows = []
    for image, counts in zip(*batch, strict=True):
        labels = np.where(counts.sum(axis=-1) > 0, counts.argmax(axis=-1), len(classes)).astype(np.uint8)
        labels = labels.repeat(CELL, axis=0).repeat(CELL, axis=1)
        height = max(1, round(image.shape[0] * _WIDTH / image.shape[1]))
        shown = cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA)
        found = np.asarray(cv2.resize(labels, (_WIDTH, height), interpolation=cv2.INTER_NEAREST))
        rows.append(np.hstack([shown, draw_overlay(shown, found, classes, only=range(len(classes)))]))
    return rows
