"""Augmented training batches, made ahead of time by threads, the same for the same seed."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from icnet.data.augment import Augmentation, random_crop
from icnet.data.sample import Dataset

Batch = tuple[np.ndarray, np.ndarray]
"""Images (N, H, W, 3) float32 BGR, 0 to 255, and labels (N, H, W) int32."""


@dataclass(frozen=True)
class BatchOptions:
    """What a batch is made of."""

    size: int
    crop_hw: tuple[int, int]
    network_hw: tuple[int, int]
    """Size at which the network sees whole images."""
    augmentation: Augmentation
    seed: int
    threads: int = 2
    ahead: int = 4
    """Batches kept ready."""


class Batches:
    """An endless stream of training batches.

    Batch k depends on the seed and on k alone, not on what was read before or on thread timing, so training continues
    after a stop with exactly the batches that it would have seen. Every epoch visits each sample once; the samples that
    do not fill the last batch of an epoch open the next one.
    """

    def __init__(self, dataset: Dataset, options: BatchOptions):
        """Draw from `dataset`, which must be safe to read from several threads."""
        self.dataset, self.options = dataset, options

    @property
    def per_epoch(self) -> int:
        """Batches in which the dataset passes about once."""
        return max(1, round(len(self.dataset) / self.options.size))

    def _sample_index(self, position: int) -> int:
        epoch, place = divmod(position, len(self.dataset))
        order = np.random.default_rng([self.options.seed, 0, epoch]).permutation(len(self.dataset))
        return int(order[place])

    def batch(self, number: int) -> Batch:
        """Batch `number` of the stream, from 0."""
        options = self.options
        images = np.empty((options.size, *options.crop_hw, 3), np.float32)
        labels = np.empty((options.size, *options.crop_hw), np.int32)
        for slot in range(options.size):
            position = number * options.size + slot
            generator = np.random.default_rng([options.seed, 1, position])
            sample = self.dataset[self._sample_index(position)]
            images[slot], labels[slot] = random_crop(sample, options.crop_hw, options.network_hw, options.augmentation, generator)
        return images, labels

    def stream(self, start: int = 0) -> Generator[Batch, None, None]:
        """Yield batches `start`, `start` + 1, ... without end; close the iterator to stop its threads."""
        pending: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.options.threads, thread_name_prefix="batches")
        try:
            number = start
            while True:
                while len(pending) < self.options.ahead:
                    pending.append(pool.submit(self.batch, number))
                    number += 1
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
