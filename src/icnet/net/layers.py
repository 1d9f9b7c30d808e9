"""The `Ops` of `icnet.base.network` as Keras layers."""

import numpy as np
from keras import layers, ops

from icnet.base.network import BN_EPSILON
from icnet.base.resample import bilinear_matrix, pooling_matrix


class Resize(layers.Layer):
    """Bilinear resize of (N, H, W, C) to a fixed size: half-pixel centres, no anti-aliasing."""

    def __init__(self, size_hw: tuple[int, int], **options):
        super().__init__(**options)
        self.size_hw = tuple(size_hw)

    def call(self, x):
        return ops.image.resize(x, self.size_hw, interpolation="bilinear", antialias=False, data_format="channels_last")

    def compute_output_shape(self, shape):
        return (shape[0], *self.size_hw, shape[3])


class PyramidLevel(layers.Layer):
    """Average over a grid of `bins` x `bins` cells and resize back, as one matrix product along each axis."""

    def __init__(self, bins: int, **options):
        super().__init__(**options)
        self.bins = bins

    def build(self, shape):
        self._rows, self._columns = (
            (bilinear_matrix(self.bins, side) @ pooling_matrix(side, self.bins)).astype(np.float32) for side in shape[1:3]
        )

    def call(self, x):
        rows, columns = (ops.cast(matrix, x.dtype) for matrix in (self._rows, self._columns))
        return ops.einsum("ph,qw,nhwc->npqc", rows, columns, x)

    def compute_output_shape(self, shape):
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

    def _once(self, name: str, make) -> layers.Layer:
        if name not in self._layers:
            self._layers[name] = make()
        return self._layers[name]

    def normalise(self, x, mean, std):
        scale = [1 / value for value in std]
        offset = [-m / s for m, s in zip(mean, std, strict=True)]
        return layers.Rescaling(scale, offset, dtype="float32")(x)

    def conv(self, x, name, width, kernel=1, *, stride=1, dilation=1, act=True):
        def convolution():
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

        def norm():
            # A residual block starts as the identity (gamma 0 at its end), which trains faster from scratch:
            # He et al., "Bag of Tricks for Image Classification", arXiv 1812.01187, section 3.1.
            gamma = "zeros" if name.endswith("_expand") else "ones"
            return self._norm(epsilon=BN_EPSILON, gamma_initializer=gamma, dtype=self._dtype, name=f"{name}_norm")

        x = self._once(name, convolution)(x)
        x = self._once(f"{name}_norm", norm)(x)
        return layers.ReLU(dtype=self._dtype)(x) if act else x

    def classifier(self, x, name, classes):
        return self._once(name, lambda: self._conv(classes, 1, dtype="float32", name=name))(x)

    def add_relu(self, xs, name, *, act=True):
        x = layers.Add(dtype=self._dtype)(xs)
        return layers.ReLU(dtype=self._dtype)(x) if act else x

    def max_pool(self, x, name):
        return layers.MaxPooling2D(3, strides=2, padding="same", dtype=self._dtype)(x)

    def pyramid_level(self, x, name, bins):
        return PyramidLevel(bins, dtype="float32")(x)  # bfloat16 knows an average over the map to 0.4 % only

    def resize(self, x, name, size_hw):
        return Resize(size_hw, dtype=x.dtype)(x)  # the image and the logits stay float32
