"""Times of a run as its log needs them."""

import time


class Clock:
    """Measures one part of a run, from its start or its resumption."""

    def __init__(self, seconds: float, images: int):
        """Go on after `seconds` of training and `images` crops, those of earlier parts of the run."""
        self._before, self._start = seconds, time.monotonic()
        self.saved = self._start
        """When the last checkpoint was written, by `time.monotonic`."""
        self.restart(images)

    def restart(self, images: int) -> None:
        """An epoch begins after `images` crops."""
        self._epoch_images, self._epoch_start = images, time.monotonic()

    def rate(self, images: int) -> float:
        """Crops per second since the epoch's begin, when `images` are done."""
        return (images - self._epoch_images) / (time.monotonic() - self._epoch_start)

    def elapsed(self) -> float:
        """Seconds of this part."""
        return time.monotonic() - self._start

    def total(self) -> float:
        """Seconds, earlier parts of the run included."""
        return self._before + self.elapsed()

    def since_saved(self) -> float:
        """Seconds since the last checkpoint."""
        return time.monotonic() - self.saved
