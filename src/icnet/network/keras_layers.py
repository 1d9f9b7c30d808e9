"""The `Ops` of `icnet.network.graph` as Keras layers."""

from collections.abc import Callable
from typing import Any
from zlib import crc32

import keras
import numpy as np
from keras import layers, ops

from icnet.network.graph import BN_EPSILON
from icnet.network.ops import Act
from icnet.network.resample import pooling_matrix

Tensor = Any
"""A tensor of the backend, or a symbolic one; Keras has no type for both."""

Shape = tuple[int, ...]


@keras.saving.register_keras_serializable("icnet")
class Resize(layers.Layer):
    """Bilinear resize of (N, H, W, C) to a fixed size: half-pixel centres, no anti-aliasing."""

    def __init__(self, size_hw: tuple[int, int], **options: Any) -> None:
        super().__init__(**options)
        self.size_hw = tuple(size_hw)

    def call(self, x: Tensor) -> Tensor:
        return ops.image.resize(x, self.size_hw, interpolation="bilinear", antialias=False, data_format="channels_last")

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), size_hw=self.size_hw)

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self.size_hw, shape[3])


@keras.saving.register_keras_serializable("icnet")
class GridPool(layers.Layer):
    """Average over a grid of `bins` x `bins` cells, as one matrix product along each axis."""

    def __init__(self, bins: int, **options: Any) -> None:
        super().__init__(**options)
        self.bins = bins

    def build(self, shape: Shape) -> None:
        self._rows, self._columns = (pooling_matrix(side, self.bins).astype(np.float32) for side in shape[1:3])

    def call(self, x: Tensor) -> Tensor:
        rows, columns = (ops.cast(matrix, x.dtype) for matrix in (self._rows, self._columns))
        return ops.einsum("ph,qw,nhwc->npqc", rows, columns, x)

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), bins=self.bins)

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.bins, self.bins, shape[3])


@keras.saving.register_keras_serializable("icnet")
class StochasticDepth(layers.Layer):
    """In training, zero for a share of the images and scaled up for the others: Huang et al., arXiv 1603.09382."""

    def __init__(self, rate: float, **options: Any) -> None:
        super().__init__(**options)
        self.rate = rate
        self.seeds = keras.random.SeedGenerator(crc32(self.name.encode()) >> 1)  # a seed has 31 bits

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return x
        return keras.random.dropout(x, self.rate, noise_shape=(ops.shape(x)[0], 1, 1, 1), seed=self.seeds)

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), rate=self.rate)

    def compute_output_shape(self, shape: Shape) -> Shape:
        return shape


class KerasOps:
    """Keras layers under the names of the graph.

    A layer is made once per name, so walking the graph again on another input size shares the weights.
    """

    def __init__(self, *, precision: str = "float32", masks: str | None = None) -> None:
        """Choose what the layers are made of.

        Args:
            precision: `float32`, or `bfloat16` for maps and gradients; weights and logits are float32 in either case.
            masks: layers whose weights can be removed, for `icnet.pruning`: single ones ("weight") or whole channels ("channel").
        """
        self._layers: dict[str, layers.Layer] = {}
        self._dtype = "mixed_bfloat16" if precision == "bfloat16" else precision
        self._conv: type[layers.Conv2D] = layers.Conv2D
        self._norm: type[layers.BatchNormalization] = layers.BatchNormalization
        if masks is not None:
            from icnet.pruning.layers import MaskedBatchNormalization, MaskedConv2D

            self._conv = MaskedConv2D
            self._norm = MaskedBatchNormalization if masks == "channel" else self._norm

    def _once(self, name: str, make: Callable[[], layers.Layer]) -> layers.Layer:
        if name not in self._layers:
            self._layers[name] = make()
        return self._layers[name]

    def normalise(self, x: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
        scale = [1 / value for value in std]
        offset = [-m / s for m, s in zip(mean, std, strict=True)]
        return layers.Rescaling(scale, offset, dtype="float32")(x)

    def conv(
        self, x: Tensor, name: str, width: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, act: Act = "relu"
    ) -> Tensor:
        def convolution() -> layers.Layer:
            return self._conv(
                width,
                kernel,
                strides=stride,
                padding="same",
                dilation_rate=dilation,
                use_bias=False,
                kernel_initializer="he_normal",
                dtype=self._dtype,
                name=name,
            )

        return self._finished(self._once(name, convolution)(x), name, act)

    def depthwise(self, x: Tensor, name: str, kernel: int, *, stride: int = 1, act: Act = "relu") -> Tensor:
        def convolution() -> layers.Layer:
            return layers.DepthwiseConv2D(
                kernel,
                strides=stride,
                padding="same",
                use_bias=False,
                depthwise_initializer=keras.initializers.RandomNormal(stddev=2**0.5 / kernel),  # He, with its one input
                dtype=self._dtype,
                name=name,
            )

        return self._finished(self._once(name, convolution)(x), name, act)

    def _finished(self, x: Tensor, name: str, act: Act) -> Tensor:
        """Normalise and activate the output of convolution `name`."""

        def norm() -> layers.Layer:
            # A residual block starts as the identity (gamma 0 at its end), which trains faster from scratch:
            # He et al., "Bag of Tricks for Image Classification", arXiv 1812.01187, section 3.1.
            gamma = "zeros" if name.endswith("_expand") else "ones"
            return self._norm(epsilon=BN_EPSILON, gamma_initializer=gamma, dtype=self._dtype, name=f"{name}_norm")

        return self._activated(self._once(f"{name}_norm", norm)(x), act)

    def _activated(self, x: Tensor, act: Act) -> Tensor:
        if act == "none":
            return x
        return layers.ReLU(6.0 if act == "relu6" else None, dtype=self._dtype)(x)

    def project(self, x: Tensor, name: str, width: int) -> Tensor:
        return self._once(name, lambda: self._conv(width, 1, dtype="float32", name=name))(x)

    def add(self, xs: list[Tensor], name: str, *, act: Act = "relu", drop: float = 0.0) -> Tensor:
        if drop:
            depth = self._once(f"{name}_depth", lambda: StochasticDepth(drop, dtype=self._dtype, name=f"{name}_depth"))
            xs = [*xs[:-1], depth(xs[-1])]
        return self._activated(layers.Add(dtype=self._dtype)(xs), act)

    def max_pool(self, x: Tensor, name: str) -> Tensor:
        return layers.MaxPooling2D(3, strides=2, padding="same", dtype=self._dtype)(x)

    def pool(self, x: Tensor, name: str, bins: int) -> Tensor:
        return GridPool(bins, dtype="float32")(x)  # bfloat16 knows an average over the map to 0.4 % only

    def resize(self, x: Tensor, name: str, size_hw: tuple[int, int]) -> Tensor:
        return Resize(size_hw, dtype=x.dtype)(x)  # the image and the logits stay float32
