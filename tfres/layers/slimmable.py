"""Layers that run at any width: convolutions and dense layers on their leading channels, norms with shared gamma and beta."""

import dataclasses
import itertools

import tensorflow as tf

from quant import At, QuantConv2D, QuantDense, QuantDepthwiseConv2D
from quant.at import checked_at
from tfres.layers.switchable_batch_norm import SwitchableBatchNorm, normalise
from tfres.settings import Setting


class _SlimmableKernel:
    """Mixin: the layer runs with the leading part of its kernel that fits its input and `channels`."""

    def __init__(self, channels, *args, **kwargs):
        super().__init__(channels.built, *args, **kwargs)
        self.channels = channels

    def build(self, input_shape):
        super().build(input_shape)
        self.input_spec = tf.keras.layers.InputSpec(min_ndim=2)  # narrower inputs are welcome too


@tf.keras.saving.register_keras_serializable(package="tfres")
class SlimmableConv2D(_SlimmableKernel, QuantConv2D):
    """2-D convolution (also grouped) at any width: the leading filters on the channels that come in.

    Args:
        channels: `SlimChannels` of the output.
        others: as `quant.QuantConv2D`, without filters, bits and bias. With groups every width must be a multiple of them.

    Call arguments: `inputs` `(batch, height, width, channels)`, any number of channels up to the built one; `at` (see
    `SlimChannels`). Output `(batch, height', width', channels(at))`.

    Reference: Yu et al., Slimmable Neural Networks, arXiv 1812.08928, as in MutualNet's code.
    """

    def call(self, inputs, at=None, training=None):
        kernel = leading(self.kernel, 2, channels_of(inputs) // self.groups)
        return self.convolve(inputs, leading(kernel, 3, self.channels(at)))


@tf.keras.saving.register_keras_serializable(package="tfres")
class SlimmableDepthwiseConv2D(QuantDepthwiseConv2D):
    """Depthwise convolution of however many channels come in, up to the built number. Arguments as its base class."""

    def build(self, input_shape):
        super().build(input_shape)
        self.input_spec = tf.keras.layers.InputSpec(min_ndim=4)

    def call(self, inputs, at=None, training=None):
        return self.convolve(inputs, leading(self.depthwise_kernel, 2, channels_of(inputs)))


@tf.keras.saving.register_keras_serializable(package="tfres")
class SlimmableDense(QuantDense):
    """Dense layer on however many features come in, up to the built number. Arguments as `tf.keras.layers.Dense`."""

    def build(self, input_shape):
        super().build(input_shape)
        self.input_spec = tf.keras.layers.InputSpec(min_ndim=2)

    def call(self, inputs, at=None, training=None):
        return tf.matmul(inputs, leading(self.kernel, 0, channels_of(inputs))) + self.bias


@tf.keras.saving.register_keras_serializable(package="tfres")
class SlimmableBatchNorm(SwitchableBatchNorm):
    """Batch norm at any width: gamma and beta are shared, their leading part used; statistics are private to a slot.

    Slots are settings: a width (`w0.25`), whose statistics training moves, or a width at a resolution (`r128-w0.25`), whose
    statistics calibration sets. A setting uses its own slot, else its width's. Without either it still trains, with the
    statistics of the batch and nothing stored; inference is an error.

    Args:
        channels: `SlimChannels`.
        settings: the slots.
        private: gamma and beta belong to the slot too (slimmable networks with switches).
        others: see `SwitchableBatchNorm`.

    Call arguments: as there; in training `at` may have a `width_mult` instead of a setting, or be None: all channels, without
    private gamma and beta (which is how a network is built).
    """

    def __init__(self, channels, settings, private=False, **kwargs):
        super().__init__(settings, **kwargs)
        self.channels = channels
        self.private = private

    def get_config(self):
        return {**super().get_config(), "private": self.private}

    def build(self, input_shape):
        built = self.channels.built
        if not self.private:
            self.gamma = self._add("gamma", built, self.gamma_initializer, True)
            self.beta = self._add("beta", built, "zeros", True)
        self._variables_of = {}
        for slot in self.settings:
            count = self.channels.at_setting(slot)
            own = (
                {}
                if not self.private
                else {
                    "gamma": self._add(f"{slot}_gamma", count, self.gamma_initializer, True),
                    "beta": self._add(f"{slot}_beta", count, "zeros", True),
                }
            )
            own["moving_mean"] = self._add(f"{slot}_moving_mean", count, "zeros", False)
            own["moving_variance"] = self._add(f"{slot}_moving_variance", count, "ones", False)
            self._variables_of[slot] = own
        tf.keras.layers.Layer.build(self, input_shape)

    def statistics_name(self, at=None):
        """Name of the statistics used there; None if it has none."""
        at = checked_at(at)
        if at.setting is None or at.width_mult is not None:
            return None
        setting = Setting.parse(at.setting)
        names = (str(setting), str(dataclasses.replace(setting, resolution=None)))
        return next((name for name in names if name in self._variables_of), None)

    def variables_of(self, setting=None):
        name = self.statistics_name(At(setting))
        if name is None:
            raise ValueError(
                f"`setting` {setting} has no statistics; those that have are {', '.join(self.settings)}. "
                "Calibrate it: tfres.evaluation.calibration.calibrate, or python -m tfres.calibrate."
            )
        gamma, beta = self.affine(At(setting))
        return {"gamma": gamma, "beta": beta, **self._variables_of[name]}

    def affine(self, at=None):
        count, name = self.channels(at), self.statistics_name(at)
        if self.private and name is None:
            return tf.ones([count], self.variable_dtype), tf.zeros([count], self.variable_dtype)
        if self.private:
            return self._variables_of[name]["gamma"], self._variables_of[name]["beta"]
        return leading(self.gamma, 0, count), leading(self.beta, 0, count)


@tf.keras.saving.register_keras_serializable(package="tfres")
class PackedBatchNorm(tf.keras.layers.Layer):
    """The served form of `SlimmableBatchNorm`: what belongs to the settings lies end to end in one variable; inference only.

    `at.index` is the number of the setting, so that one graph serves all settings.

    Args:
        channels: `SlimChannels` with the settings that are served.
        private: whether gamma and beta belong to the setting too.
        epsilon: see `SwitchableBatchNorm`.
    """

    def __init__(self, channels, private=False, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.private = private
        self.epsilon = epsilon

    def build(self, input_shape):
        def add(name, shape):
            return self.add_weight(name=name, shape=shape, initializer="ones", trainable=False, experimental_autocast=False)

        self._counts = [self.channels.at_setting(setting) for setting in self.channels.settings]
        self._starts = [0, *itertools.accumulate(self._counts)]
        self.packed = add("packed", (4 if self.private else 2, self._starts[-1]))
        if not self.private:
            self.affine = add("affine", (2, self.channels.built))
        super().build(input_shape)

    def assign(self, norm):
        """Take the values of a `SlimmableBatchNorm`."""
        names = ("moving_mean", "moving_variance", *(("gamma", "beta") if self.private else ()))
        own = [norm.variables_of(setting) for setting in self.channels.settings]
        self.packed.assign(tf.stack([tf.concat([variables[name] for variables in own], 0) for name in names]))
        if not self.private:
            self.affine.assign(tf.stack([norm.gamma, norm.beta]))

    def call(self, inputs, at=None, training=None):
        at = checked_at(at)
        if at.index is None:  # only to create the variables around it
            return inputs
        start, count = (tf.gather(tf.constant(table), at.index) for table in (self._starts, self._counts))
        values = tf.unstack(self.packed[:, start : start + count])
        mean, variance, *affine = values
        gamma, beta = affine or tf.unstack(self.affine[:, :count])
        return normalise(inputs, gamma, beta, self.epsilon, mean, variance)[0]


def leading(tensor, axis, count):
    """The first `count` (a number or a scalar tensor) entries along an axis."""
    if not tf.is_tensor(count) and tensor.shape[axis] == count:
        return tensor
    return tensor[(slice(None),) * axis + (slice(count),)]


def channels_of(inputs):
    """Size of the last axis, a number where it is known."""
    return inputs.shape[-1] if inputs.shape[-1] is not None else tf.shape(inputs)[-1]
