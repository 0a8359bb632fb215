"""Keras convolution and dense layers whose kernel passes through the learned quantizer."""

import tensorflow as tf

from quant import lq
from quant.quantizers import WeightQuantizer


class _QuantizedKernel:
    """Mixin: quantize `self.<_kernel_name>` on every call; with `weight_bits=None` the stock layer, untouched."""

    _kernel_name = "kernel"

    def __init__(self, *args, weight_bits=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.weight_bits = lq.check_bits("weight_bits", weight_bits)
        self.weight_quantizer = None

    def get_config(self):
        return {**super().get_config(), "weight_bits": self.weight_bits}

    def build(self, input_shape):
        super().build(input_shape)
        if self.weight_bits is None:
            return
        shape = self.latent_kernel.shape
        fan_out = shape[:-2].num_elements() * self._out_channels(shape)
        self.weight_quantizer = WeightQuantizer(
            self.weight_bits, fan_out=fan_out, dtype=self.variable_dtype, name="weight_quant"
        )
        with tf.name_scope(self.weight_quantizer.name):
            self.weight_quantizer.build(self._quantizer_shape(shape))
            self.weight_quantizer.built = True

    @property
    def latent_kernel(self):
        """The trained variable behind the quantized kernel."""
        return getattr(self, self._kernel_name)

    def quantized_kernel(self, training=False):
        """The kernel as the layer applies it, in the compute dtype."""
        kernel = self.latent_kernel
        if self.weight_bits is None:
            return kernel
        flat = tf.reshape(kernel, self._quantizer_shape(kernel.shape))
        quantized = self.weight_quantizer(flat, training=training)
        return tf.cast(tf.reshape(quantized, kernel.shape), self.compute_dtype)

    def _out_channels(self, shape):
        return shape[-1]

    def _quantizer_shape(self, shape):
        return shape


class _SymmetricPadding:
    """Mixin: `padding="symmetric"` puts (k-1)//2 zeros on every side at any stride, as PyTorch does."""

    def __init__(self, *args, padding="valid", **kwargs):
        self._symmetric = padding == "symmetric"
        super().__init__(*args, padding="same" if self._symmetric else padding, **kwargs)
        # At stride 1 an odd kernel makes it TensorFlow's own "same".
        self._pads = [(k - 1) // 2 for k in self.kernel_size] if self._symmetric and max(self.strides) > 1 else [0, 0]
        if any(self._pads):
            self.padding = "valid"

    def get_config(self):
        return {**super().get_config(), **({"padding": "symmetric"} if self._symmetric else {})}

    def _padded(self, inputs):
        if not any(self._pads):
            return inputs
        return tf.pad(inputs, [[0, 0], *([pad, pad] for pad in self._pads), [0, 0]])


@tf.keras.saving.register_keras_serializable(package="quant")
class QuantConv2D(_QuantizedKernel, _SymmetricPadding, tf.keras.layers.Conv2D):
    """2-D convolution with a low-bit kernel, one basis per output channel.

    Arguments as `tf.keras.layers.Conv2D` (bias is not quantized, also with groups), and:
        weight_bits: 1 to 8; None or 32 leaves the stock layer.
        padding: also "symmetric" (odd kernels): (k-1)/2 zeros on every side at any stride, PyTorch's rule.

    Input shape `(batch, height, width, channels)`, output `(batch, height', width', filters)`. `at` is accepted so
    that all layers of a switchable network are called alike; the kernel is the same at every setting.
    """

    def call(self, inputs, at=None, training=None):
        return self.convolve(inputs, self.quantized_kernel(training))

    def convolve(self, inputs, kernel):
        """The layer with another kernel of the same shape in place of its own."""
        inputs = self._padded(inputs)
        if self.groups > 1 and inputs.dtype == tf.float64:  # the CPU has no gradient of grouped float64 convolutions
            pairs = zip(tf.split(inputs, self.groups, -1), tf.split(kernel, self.groups, -1), strict=True)
            outputs = tf.concat([self.convolution_op(x, k) for x, k in pairs], -1)
        else:
            outputs = self.convolution_op(inputs, kernel)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


@tf.keras.saving.register_keras_serializable(package="quant")
class QuantDepthwiseConv2D(_QuantizedKernel, _SymmetricPadding, tf.keras.layers.DepthwiseConv2D):
    """Depthwise 2-D convolution with a low-bit kernel, one basis per output channel (input channel x multiplier).

    The reference shares one basis in the whole layer, because the kernel's last axis has size 1; here each channel has
    its own. Arguments as `tf.keras.layers.DepthwiseConv2D`; `weight_bits` and `padding` as in `QuantConv2D`.
    """

    _kernel_name = "depthwise_kernel"

    def call(self, inputs, at=None, training=None):
        return self.convolve(inputs, self.quantized_kernel(training))

    def convolve(self, inputs, kernel):
        """The layer with another kernel of the same shape in place of its own."""
        outputs = tf.keras.backend.depthwise_conv2d(
            self._padded(inputs),
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def _out_channels(self, shape):
        return shape[-2] * shape[-1]

    def _quantizer_shape(self, shape):
        return tf.TensorShape([shape[0], shape[1], 1, shape[2] * shape[3]])


@tf.keras.saving.register_keras_serializable(package="quant")
class QuantDense(_QuantizedKernel, tf.keras.layers.Dense):
    """Dense layer with a low-bit kernel, one basis per unit. Arguments as `tf.keras.layers.Dense`, and `weight_bits`."""

    def call(self, inputs, at=None, training=None):
        outputs = tf.tensordot(inputs, self.quantized_kernel(training), axes=1)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)
