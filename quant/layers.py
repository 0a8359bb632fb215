"""Keras convolution and dense layers whose kernel passes through the learned quantizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import checks, lq
from quant.at import At, checked_at
from quant.grid import kernel_on_grid
from quant.packing import PackedKernel, pack_kernel
from quant.quantizers import WeightQuantizer
from quant.scope import once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class _QuantizedKernel:
    """Mixin: quantize `self.<_kernel_name>` on every call; with `weight_bits=None` the stock layer, untouched."""

    _kernel_name = "kernel"

    def __init__(self, *args: object, weight_bits: int | None = None, **kwargs: object) -> None:
        weight_bits = lq.check_bits("weight_bits", weight_bits)
        checks.flag("use_bias", kwargs.get("use_bias", True))
        if kwargs.get("data_format") not in (None, "channels_last"):
            raise checks.wrong("data_format", "channels_last or None", kwargs["data_format"])
        super().__init__(*args, **kwargs)
        self.weight_bits = weight_bits
        self.weight_quantizer = None
        self._stored = None

    def get_config(self) -> dict:
        return {**super().get_config(), "weight_bits": self.weight_bits}

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        if self.weight_bits is None:
            return
        shape = self.latent_kernel.shape
        fan_out = shape[:-2].num_elements() * self._out_channels(shape)
        self.weight_quantizer = WeightQuantizer(
            self.weight_bits, fan_out=fan_out, dtype=self.variable_dtype, name="weight_quant"
        )
        with tf.name_scope(self.weight_quantizer.name):
            self.weight_quantizer.build((*shape[:-2], shape[-2], self._out_channels(shape)))
            self.weight_quantizer.built = True

    @property
    def latent_kernel(self) -> tf.Variable:
        """The trained variable behind the quantized kernel."""
        return getattr(self, self._kernel_name)

    def quantized_kernel(self, at: At | None = None, training: bool | None = False) -> tf.Tensor | tf.Variable:
        """The whole kernel as the layer applies it, in the compute dtype."""
        checked_at(at)
        if self.weight_bits is None:
            return self.latent_kernel if self._stored is None else tf.cast(self._stored(), self.compute_dtype)

        def quantized() -> tf.Tensor:
            return tf.cast(self.weight_quantizer(self.latent_kernel, training=training), self.compute_dtype)

        return once((self, "quantized", bool(training)), quantized)

    def served_form(self, settings: Sequence) -> tf.keras.layers.Layer:
        """The layer of a served network: the same without bits, whose kernel is the quantized one."""
        return type(self).from_config({**self.get_config(), "weight_bits": None})

    def assign(self, layer: tf.keras.layers.Layer) -> None:
        """Take the values of the layer whose served form this is."""
        self.latent_kernel.assign(tf.cast(layer.quantized_kernel(), self.latent_kernel.dtype))
        if self.use_bias:
            self.bias.assign(layer.bias)

    def snap(self, layer: tf.keras.layers.Layer) -> bool:
        """Move the kernel to the int8 grid of `quant.grid` if the layer whose served form this is has bits; tells whether."""
        if layer.weight_bits is None:
            return False
        self.latent_kernel.assign(kernel_on_grid(self.latent_kernel, layer.weight_quantizer.basis.shape[1]))
        return True

    def packed_kernel(self) -> PackedKernel | None:
        """The quantized kernel at its bits, `(..., output channels)`; None without bits."""
        if self.weight_bits is None:
            return None
        basis = self.weight_quantizer.basis.numpy()
        return pack_kernel(self.latent_kernel.numpy().reshape(-1, basis.shape[1]), basis)

    def read_kernel(self, stored: Callable[[], tf.Tensor]) -> tf.Variable:
        """Read the kernel of this served form by `stored()` from now on; the variable that is no longer read is returned."""
        self._stored = stored
        return self.latent_kernel

    def _out_channels(self, shape: tf.TensorShape) -> int:
        return shape[-1]

    def _finished(self, outputs: tf.Tensor) -> tf.Tensor:
        """With bias and activation."""
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


class _Window:
    """Mixin: arguments of a moving window; `padding="symmetric"` puts (k-1)//2 zeros on every side at any stride."""

    def __init__(
        self,
        *args: object,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        dilation_rate: int | Sequence[int] = 1,
        **kwargs: object,
    ) -> None:
        kernel_size, strides = checks.pair("kernel_size", kernel_size), checks.pair("strides", strides)
        dilation_rate = checks.pair("dilation_rate", dilation_rate)
        padding = checks.choice("padding", padding, ("valid", "same", "symmetric"))
        if max(strides) > 1 and max(dilation_rate) > 1:
            raise ValueError(
                "`strides` and `dilation_rate` must not both be above 1. "
                f"Received: strides={strides}, dilation_rate={dilation_rate}."
            )
        self._symmetric = padding == "symmetric"
        if self._symmetric and not all(k % 2 for k in kernel_size):
            raise ValueError(f"`kernel_size` must be odd with symmetric padding. Received: kernel_size={kernel_size}.")
        window = {"kernel_size": kernel_size, "strides": strides, "dilation_rate": dilation_rate}
        super().__init__(*args, padding="same" if self._symmetric else padding, **window, **kwargs)
        # At stride 1 an odd kernel makes it TensorFlow's own "same".
        self._pads = [(k - 1) // 2 for k in self.kernel_size] if self._symmetric and max(self.strides) > 1 else [0, 0]
        if any(self._pads):
            self.padding = "valid"

    def get_config(self) -> dict:
        return {**super().get_config(), **({"padding": "symmetric"} if self._symmetric else {})}

    def _padded(self, inputs: tf.Tensor) -> tf.Tensor:
        if not any(self._pads):
            return inputs
        return tf.pad(inputs, [[0, 0], *([pad, pad] for pad in self._pads), [0, 0]])


@tf.keras.saving.register_keras_serializable(package="quant")
class QuantConv2D(_QuantizedKernel, _Window, tf.keras.layers.Conv2D):
    """2-D convolution with a low-bit kernel, one basis per output channel.

    Arguments as `tf.keras.layers.Conv2D` (bias is not quantized, also with groups), and:
        weight_bits: 1 to 8; None or 32 leaves the stock layer.
        padding: also "symmetric" (odd kernels): (k-1)/2 zeros on every side at any stride, PyTorch's rule.

    Input shape `(batch, height, width, channels)`, output `(batch, height', width', filters)`. `at` is accepted so
    that all layers of a switchable network are called alike; the kernel is the same at every setting.
    """

    def __init__(self, filters: int, kernel_size: int | Sequence[int], *, groups: int = 1, **kwargs: object) -> None:
        filters, groups = checks.whole("filters", filters), checks.whole("groups", groups)
        if filters % groups:
            raise ValueError(f"`filters` must be a multiple of `groups`. Received: filters={filters}, groups={groups}.")
        super().__init__(filters=filters, kernel_size=kernel_size, groups=groups, **kwargs)

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        return self.convolve(inputs, self.quantized_kernel(at, training))

    def scaled(
        self, inputs: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, activation: Callable[[tf.Tensor], tf.Tensor]
    ) -> tf.Tensor:
        """activation((convolution + bias) * scale + shift), scale and shift within kernel and bias, which constants are once.

        For inference. A 1x1 convolution is made as a matrix product, which starts faster on CPUs.

        Args:
            inputs: of known height and width.
            scale, shift: `(filters,)`; the layer must have no activation of its own.
            activation: applied last.
        """
        kernel = tf.cast(tf.cast(self.quantized_kernel(), scale.dtype) * scale, inputs.dtype)
        bias = tf.cast(tf.cast(self.bias, scale.dtype) * scale + shift if self.use_bias else shift, inputs.dtype)
        if (self.kernel_size, self.strides, self.groups) != ((1, 1), (1, 1), 1):
            return activation(tf.nn.bias_add(self.convolution_op(self._padded(inputs), kernel), bias))
        product = tf.matmul(tf.reshape(inputs, [-1, inputs.shape[-1]]), kernel[0, 0])
        return tf.reshape(activation(tf.nn.bias_add(product, bias)), [-1, *inputs.shape[1:3], self.filters])

    def convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The layer with another kernel of the same shape in place of its own."""
        inputs = self._padded(inputs)
        if self.groups > 1 and inputs.dtype == tf.float64:  # the CPU has no gradient of grouped float64 convolutions
            pairs = zip(tf.split(inputs, self.groups, -1), tf.split(kernel, self.groups, -1), strict=True)
            return self._finished(tf.concat([self.convolution_op(x, k) for x, k in pairs], -1))
        return self._finished(self.convolution_op(inputs, kernel))


@tf.keras.saving.register_keras_serializable(package="quant")
class QuantDepthwiseConv2D(_QuantizedKernel, _Window, tf.keras.layers.DepthwiseConv2D):
    """Depthwise 2-D convolution with a low-bit kernel, one basis per output channel (input channel x multiplier).

    The reference shares one basis in the whole layer, because the kernel's last axis has size 1; here each channel has
    its own. Arguments as `tf.keras.layers.DepthwiseConv2D`; `weight_bits` and `padding` as in `QuantConv2D`.
    """

    _kernel_name = "depthwise_kernel"

    def __init__(self, kernel_size: int | Sequence[int], *, depth_multiplier: int = 1, **kwargs: object) -> None:
        depth_multiplier = checks.whole("depth_multiplier", depth_multiplier)
        high, wide = checks.pair("strides", kwargs.get("strides", 1))
        if high != wide:
            raise ValueError(f"`strides` must be equal in a depthwise convolution. Received: strides={(high, wide)}.")
        super().__init__(kernel_size=kernel_size, depth_multiplier=depth_multiplier, **kwargs)

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        return self.convolve(inputs, self.quantized_kernel(at, training))

    def convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The layer with another kernel of the same shape in place of its own."""
        outputs = tf.keras.backend.depthwise_conv2d(
            self._padded(inputs),
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self._finished(outputs)

    def _out_channels(self, shape: tf.TensorShape) -> int:
        return shape[-2] * shape[-1]


@tf.keras.saving.register_keras_serializable(package="quant")
class QuantDense(_QuantizedKernel, tf.keras.layers.Dense):
    """Dense layer with a low-bit kernel, one basis per unit. Arguments as `tf.keras.layers.Dense`, and `weight_bits`."""

    def __init__(self, units: int, **kwargs: object) -> None:
        super().__init__(units=checks.whole("units", units), **kwargs)

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        return self.multiply(inputs, self.quantized_kernel(at, training))

    def multiply(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The layer with another kernel in place of its own."""
        product = tf.matmul(inputs, kernel) if inputs.shape.rank == 2 else tf.tensordot(inputs, kernel, axes=1)
        return self._finished(product)
