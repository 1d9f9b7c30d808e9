"""What an engine must offer to run a network, and what a network gives."""

from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

T = TypeVar("T")

Act = Literal["relu", "relu6", "none"]
"""What follows a convolution or a sum; `relu6` is the minimum of ReLU and 6."""

DEPTHWISE = "_depthwise"
"""How the names of depthwise convolutions end, which tells them from other grouped operations in a finished IR."""


class Ops(Protocol[T]):
    """What an engine must offer. All maps are NHWC; convolutions pad "same" as TensorFlow does."""

    def normalise(self, x: T, mean: tuple[float, ...], std: tuple[float, ...]) -> T:
        """(x - mean) / std per channel."""
        ...

    def conv(self, x: T, name: str, width: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, act: Act = "relu") -> T:
        """Convolution without bias, batch normalisation, activation."""
        ...

    def depthwise(self, x: T, name: str, kernel: int, *, stride: int = 1, act: Act = "relu") -> T:
        """`conv` of every channel by itself."""
        ...

    def project(self, x: T, name: str, width: int) -> T:
        """1x1 convolution with bias and nothing after it, such as a classifier."""
        ...

    def add(self, xs: list[T], name: str, *, act: Act = "relu", drop: float = 0.0) -> T:
        """Sum of equal-shaped maps, then activation.

        In training the last map is left out of a share `drop` of the images, and scaled up in the others: stochastic depth,
        Huang et al., arXiv 1603.09382.
        """
        ...

    def max_pool(self, x: T, name: str) -> T:
        """3x3 maximum, stride 2, "same"."""
        ...

    def pool(self, x: T, name: str, bins: int) -> T:
        """Averages over the cells of a `bins` x `bins` grid."""
        ...

    def resize(self, x: T, name: str, size_hw: tuple[int, int]) -> T:
        """Bilinear, half-pixel centres, no anti-aliasing."""
        ...


@dataclass(frozen=True)
class Heads(Generic[T]):
    """Class logits, NHWC with a channel for each class."""

    full: T
    """At 1/4 of the input size: the output of the network."""
    eighth: T | None = None
    """At 1/8, in training only."""
    sixteenth: T | None = None
    """At 1/16, in training only."""

    @property
    def built(self) -> list[T]:
        """Those that there are, the largest first."""
        return [head for head in (self.full, self.eighth, self.sixteenth) if head is not None]
