"""The `Ops` of `icnet.network.ops` as PyTorch functions: the fastest way to train on a CPU, and to run without other engines.

Maps are NCHW in channels-last memory, which is how they arrive from NHWC images, and what PyTorch's CPU kernels are fastest on.
"""

import numpy as np
import torch
from torch.nn import functional

from icnet.network.graph import BN_EPSILON
from icnet.network.ops import Act
from icnet.network.resample import same_padding

BN_MOMENTUM = 0.99
"""How much of the moving statistics a step leaves, as in Keras by default."""


def to_torch(name: str, array: np.ndarray) -> torch.Tensor:
    """A tensor of the weight file, or one of the same layout, as `TorchOps` takes it; a copy."""
    if not name.endswith("/kernel"):
        return torch.from_numpy(np.array(array, np.float32))
    kernel = torch.from_numpy(np.ascontiguousarray(np.transpose(array, (3, 2, 0, 1)), np.float32))
    return kernel.clone(memory_format=torch.channels_last)


def from_torch(name: str, tensor: torch.Tensor) -> np.ndarray:
    """Inverse of `to_torch`; a copy."""
    array = tensor.detach().numpy()
    return np.array(array.transpose(2, 3, 1, 0) if name.endswith("/kernel") else array, order="C")


class TorchOps:
    """Functions under the names of the graph."""

    def __init__(
        self,
        tensors: dict[str, torch.Tensor],
        *,
        precision: str = "float32",
        training: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        """Choose the numbers.

        Args:
            tensors: those of the weight file by name, as `to_torch` makes them.
            precision: `float32`, or `bfloat16` for maps and gradients; statistics and logits are float32 in either case.
            training: normalise by the batch, which also moves the statistics in `tensors`.
            generator: of stochastic depth, needed for training.
        """
        self._tensors, self._dtype = tensors, getattr(torch, precision)
        self._training, self._generator = training, generator

    def normalise(self, x: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
        scale, offset = (torch.tensor(values, dtype=torch.float32)[:, None, None] for values in (std, mean))
        return (x - offset) / scale

    def conv(
        self, x: torch.Tensor, name: str, width: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, act: Act = "relu"
    ) -> torch.Tensor:
        return self._finished(self._convolution(x, name, kernel, stride, dilation), name, act)

    def depthwise(self, x: torch.Tensor, name: str, kernel: int, *, stride: int = 1, act: Act = "relu") -> torch.Tensor:
        return self._finished(self._convolution(x, name, kernel, stride, 1, groups=x.shape[1]), name, act)

    def _convolution(
        self, x: torch.Tensor, name: str, kernel: int, stride: int, dilation: int, *, groups: int = 1
    ) -> torch.Tensor:
        (top, bottom), (left, right) = (same_padding(side, kernel, stride, dilation) for side in x.shape[2:])
        # The bfloat16 gradients of these take several times as long as those in float32.
        slow = groups > 1 and (kernel > 3 or stride > 1)
        dtype = torch.float32 if slow else self._dtype
        x, values = x.to(dtype), self._tensors[f"{name}/kernel"].to(dtype)
        padding = (top, left)
        if (top, left) != (bottom, right):
            x, padding = functional.pad(x, (left, right, top, bottom)), (0, 0)
        return functional.conv2d(x, values, None, (stride, stride), padding, (dilation, dilation), groups).to(self._dtype)

    def _finished(self, x: torch.Tensor, name: str, act: Act) -> torch.Tensor:
        gamma, beta, mean, variance = (self._tensors[f"{name}/{part}"] for part in ("gamma", "beta", "mean", "variance"))
        by_batch = self._training and x[:, 0].numel() > 1  # PyTorch refuses to normalise a single value by itself
        x = functional.batch_norm(x, mean, variance, gamma, beta, by_batch, 1 - BN_MOMENTUM, BN_EPSILON)
        return _activated(x, act)

    def project(self, x: torch.Tensor, name: str, width: int) -> torch.Tensor:
        return functional.conv2d(x.float(), self._tensors[f"{name}/kernel"], self._tensors[f"{name}/bias"])

    def add(self, xs: list[torch.Tensor], name: str, *, act: Act = "relu", drop: float = 0.0) -> torch.Tensor:
        *xs, last = xs
        if drop and self._training:
            kept = torch.rand((len(last), 1, 1, 1), generator=self._generator) >= drop
            last = last * (kept / (1 - drop)).to(last.dtype)
        for x in xs:
            last = last + x
        return _activated(last, act)

    def max_pool(self, x: torch.Tensor, name: str) -> torch.Tensor:
        (top, bottom), (left, right) = (same_padding(side, 3, 2, 1) for side in x.shape[2:])
        return functional.max_pool2d(functional.pad(x, (left, right, top, bottom), value=-torch.inf), 3, 2)

    def pool(self, x: torch.Tensor, name: str, bins: int) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(x.float(), bins)

    def resize(self, x: torch.Tensor, name: str, size_hw: tuple[int, int]) -> torch.Tensor:
        return functional.interpolate(x, size=size_hw, mode="bilinear", align_corners=False)


def _activated(x: torch.Tensor, act: Act) -> torch.Tensor:
    match act:
        case "relu":
            return functional.relu(x, inplace=True)
        case "relu6":
            return functional.relu6(x, inplace=True)
        case "none":
            return x


def nchw(images: np.ndarray) -> torch.Tensor:
    """(N, H, W, 3) images of any numeric type as (N, 3, H, W) float32 in channels-last memory."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
