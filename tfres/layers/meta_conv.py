"""Convolutions whose kernel is generated from the setting (SAN's meta learner)."""

import tensorflow as tf

from quant import QuantConv2D, QuantDepthwiseConv2D
from quant.at import checked_at
from quant.stacked import pick
from quant.step import once


class _GeneratedKernel:
    """Mixin: K(e) = slope * e + kernel, one affine map from the setting's encoding e to the whole kernel.

    In a `quant.StepScope` a setting's kernel is generated once.
    """

    def __init__(self, *args, encodings, slope_initializer="zeros", **kwargs):
        super().__init__(*args, **kwargs)
        self.encodings = {str(setting): float(value) for setting, value in encodings.items()}
        self.slope_initializer = tf.keras.initializers.get(slope_initializer)

    def get_config(self):
        slope_initializer = tf.keras.initializers.serialize(self.slope_initializer)
        return {**super().get_config(), "encodings": self.encodings, "slope_initializer": slope_initializer}

    def build(self, input_shape):
        super().build(input_shape)
        shape = self.latent_kernel.shape
        self.slope = self.add_weight(name="slope", shape=shape, initializer=self.slope_initializer)
        self._table = list(self.encodings.values())

    def generated_kernel(self, at=None):
        """The kernel at a setting: `at.setting`, or in a served network `at.index` or `at.shares` in the order of `encodings`;
        none is needed when there is one.
        """
        at = checked_at(at)
        if at.index is not None or at.shares is not None:
            encoding = tf.cast(pick(tf.constant(self._table), at), self.compute_dtype)
        elif at.setting is None and len(self._table) == 1:
            encoding = self._table[0]
        elif str(at.setting) in self.encodings:
            encoding = self.encodings[str(at.setting)]
        else:
            raise ValueError(f"`at` must have a setting of {', '.join(self.encodings)}. Received: at={at}.")
        slope, base = (tf.cast(variable, self.compute_dtype) for variable in (self.slope, self.latent_kernel))
        return slope * encoding + base

    def call(self, inputs, at=None, training=None):
        at = checked_at(at)
        if at.index is not None or at.shares is not None:
            return self.convolve(inputs, self.generated_kernel(at))
        kernel = once((id(self), str(at.setting)), lambda: self.generated_kernel(at))
        return self.convolve(inputs, kernel)


@tf.keras.saving.register_keras_serializable(package="tfres")
class MetaConv2D(_GeneratedKernel, QuantConv2D):
    """2-D convolution (also grouped) with the kernel K(e) = slope * e + kernel at the encoding e of the setting.

    Arguments as `quant.QuantConv2D` without bits and bias, and:
        encodings: mapping of setting to its number e, in the order of the settings.
        slope_initializer: of `slope`; the initializer of the part that does not depend on e is `kernel_initializer`.

    Call arguments: `inputs` `(batch, height, width, channels)`, `at` (see `generated_kernel`), `training`.
    Output `(batch, height', width', filters)`.

    References: Li et al., Learning to Learn Parameterized Classification Networks for Scalable Input Images (ECCV 2020), arXiv
    2007.06181, as its code does it: one affine map per layer (the paper draws a network of two layers).
    """


@tf.keras.saving.register_keras_serializable(package="tfres")
class MetaDepthwiseConv2D(_GeneratedKernel, QuantDepthwiseConv2D):
    """Depthwise convolution with a generated kernel; see `MetaConv2D`."""
