"""Batch norms at any width: shared gamma and beta, private statistics; and their served form."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import At, checks
from quant.at import checked_at
from tfres.layers.normalise import normalise
from tfres.layers.slim_channels import SlimChannels
from tfres.layers.slimmable import leading
from tfres.layers.switchable_batch_norm import SwitchableBatchNorm, checked_epsilon
from tfres.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence


@tf.keras.saving.register_keras_serializable(package="tfres")
class SlimmableBatchNorm(SwitchableBatchNorm):
    """Batch norm at any width: gamma and beta are shared, their leading part used; statistics are private to a setting.

    A setting that has statistics is a width (`w0.25`), whose statistics training moves, or a width at a resolution
    (`r128-w0.25`), whose statistics calibration sets. A setting uses its own statistics, else its width's. Without either it
    still trains, with those of the batch and nothing stored; inference is an error.

    Args:
        channels: `SlimChannels`.
        settings: those with statistics.
        private: gamma and beta belong to these settings too (slimmable networks with switches).
        others: see `SwitchableBatchNorm`.

    Call arguments: as there; in training `at` may have a `width_mult` instead of a setting, or be None: all channels, without
    private gamma and beta (which is how a network is built).
    """

    def __init__(self, channels: SlimChannels, settings: Sequence, private: bool = False, **kwargs: object) -> None:
        channels, private = SlimChannels.of(channels), checks.flag("private", private)
        super().__init__(settings, **kwargs)
        self.channels = channels
        self.private = private
        for setting in self.settings:
            channels.at_setting(setting)  # or an error that names it

    def get_config(self) -> dict:
        channels = tf.keras.saving.serialize_keras_object(self.channels)
        return {**super().get_config(), "channels": channels, "private": self.private}

    def build(self, input_shape: Any) -> None:
        built = self.channels.built
        if not self.private:
            self.gamma = self._add("gamma", built, self.gamma_initializer, True)
            self.beta = self._add("beta", built, "zeros", True)
        self._own = {}
        for setting in self.settings:
            count, own = self.channels.at_setting(setting), {}
            if self.private:
                own["gamma"] = self._add(f"{setting}_gamma", count, self.gamma_initializer, True)
                own["beta"] = self._add(f"{setting}_beta", count, "zeros", True)
            own["moving_mean"] = self._add(f"{setting}_moving_mean", count, "zeros", False)
            own["moving_variance"] = self._add(f"{setting}_moving_variance", count, "ones", False)
            self._own[setting] = own
        tf.keras.layers.Layer.build(self, input_shape)

    def statistics_name(self, at: At | None = None) -> str | None:
        """Name of the statistics used there; None if it has none."""
        at = checked_at(at)
        if at.setting is None or at.width_mult is not None:
            return None
        setting = Setting.parse(at.setting)
        names = (str(setting), str(dataclasses.replace(setting, resolution=None)))
        return next((name for name in names if name in self._own), None)

    def variables_of(self, setting: object = None) -> dict[str, tf.Variable | tf.Tensor]:
        name = self.statistics_name(At(setting))
        if name is None:
            raise ValueError(
                f"`setting` {setting} has no statistics; those that have are {', '.join(self.settings)}. "
                "Calibrate it: tfres.evaluation.calibration.calibrate, or python -m tfres.calibrate."
            )
        gamma, beta = self.affine(At(setting))
        return {"gamma": gamma, "beta": beta, **self._own[name]}

    def affine(self, at: At | None = None) -> tuple[tf.Variable | tf.Tensor, tf.Variable | tf.Tensor]:
        count = self.channels(at)
        if not self.private:
            return leading(self.gamma, 0, count), leading(self.beta, 0, count)
        name = self.statistics_name(at)
        if name is not None:
            return self._own[name]["gamma"], self._own[name]["beta"]
        if checked_at(at).empty:
            return tf.ones([count], self.variable_dtype), tf.zeros([count], self.variable_dtype)
        raise ValueError(
            f"`at` must have one of the settings {', '.join(self.settings)}, which have a gamma and beta. Received: at={at}."
        )

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        expected, received = self.channels(at), inputs.shape[-1]
        if not tf.is_tensor(expected) and received not in (None, expected):
            raise ValueError(f"`inputs` of {self.name} must have {expected} channels. Received: inputs.shape={inputs.shape}.")
        return super().call(inputs, at, training)

    def served_form(self, settings: Sequence) -> PackedBatchNorm:
        """The layer of a served network that knows `settings` by number."""
        channels = self.channels.serving(settings)
        return PackedBatchNorm(channels, self.private, self.epsilon, name=self.name, dtype=self.dtype_policy)


@tf.keras.saving.register_keras_serializable(package="tfres")
class PackedBatchNorm(tf.keras.layers.Layer):
    """The served form of `SlimmableBatchNorm`: what belongs to the settings lies end to end in one variable; inference only.

    `at.index` is the number of the setting, so that one graph serves all settings. With an empty `at` inputs pass unchanged
    (only to create the variables around it).

    Args:
        channels: `SlimChannels` with the settings that are served.
        private: whether gamma and beta belong to the setting too.
        epsilon: see `SwitchableBatchNorm`.
    """

    def __init__(self, channels: SlimChannels, private: bool = False, epsilon: float = 1e-5, **kwargs: object) -> None:
        channels, private, epsilon = SlimChannels.of(channels), checks.flag("private", private), checked_epsilon(epsilon)
        if not channels.settings:
            raise ValueError(f"`channels` must have the settings that are served. Received: channels={channels}.")
        super().__init__(**kwargs)
        self.channels = channels
        self.private = private
        self.epsilon = epsilon
        self.input_spec = tf.keras.layers.InputSpec(ndim=4)

    def get_config(self) -> dict:
        channels = tf.keras.saving.serialize_keras_object(self.channels)
        return {**super().get_config(), "channels": channels, "private": self.private, "epsilon": self.epsilon}

    def build(self, input_shape: Any) -> None:
        def add(name: str, shape: tuple[int, int]) -> tf.Variable:
            return self.add_weight(name=name, shape=shape, initializer="ones", trainable=False, experimental_autocast=False)

        counts = [self.channels.at_setting(setting) for setting in self.channels.settings]
        self._places = (tuple(itertools.accumulate(counts, initial=0)), tuple(counts))
        self.packed = add("packed", (4 if self.private else 2, sum(counts)))
        if not self.private:
            self.affine = add("affine", (2, self.channels.built))
        super().build(input_shape)

    def assign(self, norm: SlimmableBatchNorm) -> None:
        """Take the values of a `SlimmableBatchNorm`."""
        names = ("moving_mean", "moving_variance", *(("gamma", "beta") if self.private else ()))
        own = [norm.variables_of(setting) for setting in self.channels.settings]
        self.packed.assign(tf.stack([tf.concat([variables[name] for variables in own], 0) for name in names]))
        if not self.private:
            self.affine.assign(tf.stack([norm.gamma, norm.beta]))

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        at = checked_at(at)
        if at.empty:
            return inputs
        if at.index is None:
            raise ValueError(f"`at` must have the index of a setting. Received: at={at}.")
        built = self.channels.built
        if inputs.shape[-1] is not None and inputs.shape[-1] > built:
            raise ValueError(
                f"`inputs` of {self.name} must have up to {built} channels. Received: inputs.shape={inputs.shape}."
            )
        start, count = (tf.gather(tf.constant(table), at.index) for table in self._places)
        values = tf.unstack(self.packed[:, start : start + count])
        mean, variance, *affine = values
        gamma, beta = affine or tf.unstack(self.affine[:, :count])
        return normalise(inputs, gamma, beta, self.epsilon, mean, variance)[0]
