"""Layers whose removed weights are zero in every forward pass, and so in every gradient.

The masks are non-trainable weights of the layers: they are saved and loaded with the model, they are part of the state
that a compiled step receives on every backend, and changing one needs no new compilation. (A mask that a Keras constraint
reads would be a constant of the step that JAX traced.)
"""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="icnet")
class MaskedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, with the same arguments, of which single weights or whole output channels can be removed.

    `kernel_mask` (uint8, the kernel's shape) and, with a bias, `bias_mask` (uint8, `(filters,)`) hold 1 for what is
    there and 0 for what is removed. `kernel` and `bias` are the masked values; assign to `stored_kernel` and
    `stored_bias`. The names of the saved variables are those of Conv2D, then `kernel_mask` and `bias_mask`.
    """

    def build(self, input_shape: tuple[int, ...]) -> None:
        super().build(input_shape)
        self.kernel_mask = self._add_mask("kernel_mask", self._kernel.shape)
        if self.use_bias:
            self.bias_mask = self._add_mask("bias_mask", (self.filters,))

    def _add_mask(self, name: str, shape: tuple[int, ...]) -> keras.Variable:
        return self.add_weight(name=name, shape=shape, dtype="uint8", initializer="ones", trainable=False)

    @property
    def kernel(self) -> Any:
        kernel = super().kernel
        return kernel * ops.cast(self.kernel_mask, kernel.dtype)

    @property
    def bias(self) -> Any:
        return None if self._bias is None else self._bias * ops.cast(self.bias_mask, self._bias.dtype)

    @bias.setter
    def bias(self, variable: Any) -> None:  # Conv2D.build assigns it
        self._bias = variable

    @property
    def stored_kernel(self) -> keras.Variable:
        """The variable behind `kernel`; what it holds at masked places has no effect."""
        return self._kernel

    @property
    def stored_bias(self) -> keras.Variable | None:
        """The variable behind `bias`."""
        return self._bias

    def enable_lora(self, *args: Any, **options: Any) -> None:
        raise NotImplementedError("MaskedConv2D has no LoRA: prune first, strip the masks, then enable it")

    # Conv2D stores `kernel` and `bias`, which are no variables here.
    def save_own_variables(self, store: Any) -> None:
        for index, variable in enumerate(self.weights):
            store[str(index)] = variable

    def load_own_variables(self, store: Any) -> None:
        self._check_load_own_variables(store)
        for index, variable in enumerate(self.weights):
            variable.assign(store[str(index)])


@keras.saving.register_keras_serializable(package="icnet")
class MaskedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, with the same arguments, whose output is zero in removed channels.

    `channel_mask` (uint8, `(channels,)`) holds 1 for a channel that is there and 0 for a removed one.
    """

    def build(self, input_shape: tuple[int, ...]) -> None:
        super().build(input_shape)
        self.channel_mask = self.add_weight(
            name="channel_mask", shape=(input_shape[self.axis],), dtype="uint8", initializer="ones", trainable=False
        )

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        outputs = super().call(inputs, training=training, mask=mask)
        shape = [1] * len(outputs.shape)
        shape[self.axis] = -1
        return outputs * ops.reshape(ops.cast(self.channel_mask, outputs.dtype), shape)
