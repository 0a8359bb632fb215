"""Layers that run at any width: convolutions and dense layers on the leading part of their kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import At, QuantConv2D, QuantDense, QuantDepthwiseConv2D
from tfres.layers.slim_channels import SlimChannels

if TYPE_CHECKING:
    from collections.abc import Sequence


class _NarrowInputs:
    """Mixin: inputs may have fewer channels than the layer was built for; a bit width holds for the whole kernel.

    With bits the whole latent kernel is quantized by its bases, once per step, and the leading part of that is used.
    """

    _input_axis = -2  # of the kernel

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.input_spec = tf.keras.layers.InputSpec(min_ndim=self.input_spec.min_ndim)

    def _leading_inputs(self, inputs: tf.Tensor, kernel: tf.Tensor, groups: int = 1) -> tf.Tensor:
        """The part of a kernel that meets the channels that come in."""
        built = kernel.shape[self._input_axis]
        channels = inputs.shape[-1] if inputs.shape[-1] is not None else tf.shape(inputs)[-1]
        if not tf.is_tensor(channels) and (channels > built * groups or channels < 1 or channels % groups):
            multiple = f", a multiple of {groups}" if groups > 1 else ""
            raise ValueError(
                f"`inputs` of {self.name} must have 1 to {built * groups} channels{multiple}. "
                f"Received: inputs.shape={inputs.shape}."
            )
        return leading(kernel, kernel.shape.rank + self._input_axis, channels // groups)


@tf.keras.saving.register_keras_serializable(package="tfres")
class SlimmableConv2D(_NarrowInputs, QuantConv2D):
    """2-D convolution (also grouped) at any width: the leading filters on the channels that come in.

    Args:
        channels: `SlimChannels` of the output.
        others: as `quant.QuantConv2D`, without filters and bias. With groups every width must be a multiple of them.

    Call arguments: `inputs` `(batch, height, width, channels)`, any number of channels up to the built one; `at` (see
    `SlimChannels`). Output `(batch, height', width', channels(at))`.

    Reference: Yu et al., Slimmable Neural Networks, arXiv 1812.08928, as in MutualNet's code.
    """

    def __init__(
        self, channels: SlimChannels, kernel_size: int | Sequence[int], *, use_bias: bool = False, **kwargs: object
    ) -> None:
        channels = SlimChannels.of(channels)
        if use_bias is not False:
            raise ValueError(f"`use_bias` must be False in a SlimmableConv2D. Received: use_bias={use_bias!r}.")
        super().__init__(channels.built, kernel_size, use_bias=False, **kwargs)
        self.channels = channels

    def get_config(self) -> dict:
        config = super().get_config()
        del config["filters"]
        return {**config, "channels": tf.keras.saving.serialize_keras_object(self.channels)}

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        kernel = self._leading_inputs(inputs, self.quantized_kernel(at, training), self.groups)
        return self.convolve(inputs, leading(kernel, 3, self.channels(at)))

    def served_form(self, settings: Sequence) -> SlimmableConv2D:
        """The layer of a served network that knows `settings` by number; the kernel is the quantized one."""
        channels = tf.keras.saving.serialize_keras_object(self.channels.serving(settings))
        return type(self).from_config({**self.get_config(), "weight_bits": None, "channels": channels})


@tf.keras.saving.register_keras_serializable(package="tfres")
class SlimmableDepthwiseConv2D(_NarrowInputs, QuantDepthwiseConv2D):
    """Depthwise convolution of however many channels come in, up to the built number. Arguments as its base class, without
    bias.
    """

    def __init__(self, kernel_size: int | Sequence[int], *, use_bias: bool = False, **kwargs: object) -> None:
        if use_bias is not False:
            raise ValueError(f"`use_bias` must be False in a SlimmableDepthwiseConv2D. Received: use_bias={use_bias!r}.")
        super().__init__(kernel_size, use_bias=False, **kwargs)

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        return self.convolve(inputs, self._leading_inputs(inputs, self.quantized_kernel(at, training)))


@tf.keras.saving.register_keras_serializable(package="tfres")
class SlimmableDense(_NarrowInputs, QuantDense):
    """Dense layer on however many features come in, up to the built number. Arguments as `quant.QuantDense`."""

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        return self.multiply(inputs, self._leading_inputs(inputs, self.quantized_kernel(at, training)))


def leading(tensor: tf.Tensor | tf.Variable, axis: int, count: int | tf.Tensor) -> tf.Tensor | tf.Variable:
    """The first `count` (a number or a scalar tensor) entries along an axis."""
    if not tf.is_tensor(count) and tensor.shape[axis] == count:
        return tensor
    return tensor[(slice(None),) * axis + (slice(count),)]
