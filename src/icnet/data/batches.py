"""Augmented training batches, made ahead of time by threads, the same for the same seed."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from icnet.base.classes import OUTSIDE
from icnet.base.cores import available_cores
from icnet.base.sample import Dataset
from icnet.data.augment import Augmentation, random_crop
from icnet.data.cells import class_counts
from icnet.data.taught import blended

Batch = tuple[np.ndarray, np.ndarray]
"""Images (N, H, W, 3) uint8 BGR and their `class_counts` (N, H/4, W/4, C) uint8; as bytes, so that little has to be copied to a
device. Counts `blended` with a teacher's answers are float16."""


_SPARE = 2
"""Batches kept ready, beside one in the making for each thread."""


@dataclass(frozen=True)
class CropStage:
    """A part of the stream whose batches have one shape."""

    batches: int
    """How many; the last stage of a stream goes on without end."""
    size: int
    """Crops per batch."""
    crop_hw: tuple[int, int]


@dataclass(frozen=True)
class BatchOptions:
    """What a batch is made of."""

    stages: tuple[CropStage, ...]
    """In order, at least one."""
    network_hw: tuple[int, int]
    """Size at which the network sees whole images."""
    augmentation: Augmentation
    seed: int
    answers_share: float = 0.0
    """How much of the targets are a teacher's answers, where the dataset has them."""
    threads: int = field(default_factory=lambda: min(16, max(2, available_cores())))
    """Each makes whole batches. More than 16 feed any one device."""


class Batches:
    """An endless stream of training batches.

    Batch k depends on the options and on k alone, not on what was read before or on thread timing, so training continues
    after a stop with exactly the batches that it would have seen. Every epoch visits each sample once; the samples that
    do not fill the last batch of an epoch open the next one, also where one stage follows another.
    """

    def __init__(self, dataset: Dataset, options: BatchOptions):
        """Draw from `dataset`, which must be safe to read from several threads."""
        self.dataset, self.options = dataset, options

    def locate(self, number: int) -> tuple[int, int]:
        """Index of the stage of batch `number`, and the position of its first sample in the whole stream."""
        samples, stages = 0, self.options.stages
        for index, stage in enumerate(stages):
            if number < stage.batches or index == len(stages) - 1:
                return index, samples + number * stage.size
            samples, number = samples + stage.batches * stage.size, number - stage.batches
        raise AssertionError("a stream has at least one stage")

    def samples(self, number: int) -> int:
        """How many samples the batches before `number` hold."""
        return self.locate(number)[1]

    def epochs(self, number: int) -> float:
        """How often the dataset has passed in the batches before `number`."""
        return self.samples(number) / len(self.dataset)

    def _sample_index(self, position: int) -> int:
        epoch, place = divmod(position, len(self.dataset))
        order = np.random.default_rng([self.options.seed, 0, epoch]).permutation(len(self.dataset))
        return int(order[place])

    def batch(self, number: int) -> Batch:
        """Batch `number` of the stream, from 0."""
        options = self.options
        index, first = self.locate(number)
        stage = options.stages[index]
        images = np.empty((stage.size, *stage.crop_hw, 3), np.uint8)
        labels = np.empty((stage.size, *stage.crop_hw), np.uint8)
        answers: list[np.ndarray] = []
        for slot in range(stage.size):
            images[slot], labels[slot], answer = self._crop(first + slot, stage.crop_hw)
            if answer is not None:
                answers.append(answer)
        counts = class_counts(labels, len(self.dataset.classes))
        return images, blended(counts, np.stack(answers), options.answers_share) if answers else counts

    def _crop(self, position: int, crop_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Image, labels and answers of the crop at a position of the stream."""
        options, augmentation = self.options, self.options.augmentation
        generator = np.random.default_rng([options.seed, 1, position])

        def crop(index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
            return random_crop(self.dataset[index], crop_hw, options.network_hw, augmentation, generator)

        image, labels, answers = crop(self._sample_index(position))
        if augmentation.mixture and generator.uniform() < augmentation.mixture:
            other, _, others = crop(int(generator.integers(len(self.dataset))))
            share = generator.uniform(0.2, 0.8)
            image, labels = cv2.addWeighted(image, share, other, 1 - share, 0), np.full_like(labels, OUTSIDE)
            if answers is not None and others is not None:
                answers = share * answers + (1 - share) * others
        return image, labels, answers

    def stream(self, start: int = 0, place: Callable[[Batch], Any] = lambda batch: batch) -> Generator[Any, None, None]:
        """Yield batches `start`, `start` + 1, ... without end; close the iterator to stop its threads.

        Args:
            start: number of the first batch.
            place: applied to every batch by the thread that made it, to begin its copy to a device early.
        """
        pending: deque[Future[Any]] = deque()
        pool = ThreadPoolExecutor(self.options.threads, thread_name_prefix="batches")
        inner = cv2.getNumThreads()
        cv2.setNumThreads(1)  # our threads take one crop each; OpenCV's own would only get in their way
        try:
            number = start
            while True:
                while len(pending) < self.options.threads + _SPARE:
                    pending.append(pool.submit(lambda number: place(self.batch(number)), number))
                    number += 1
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            cv2.setNumThreads(inner)
