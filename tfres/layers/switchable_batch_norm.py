"""Batch normalisation with private statistics, gamma and beta per setting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import At, checks
from quant.at import checked_at
from quant.bases import by_setting
from quant.scope import record
from quant.stacked import pick
from tfres.layers.normalise import normalise, normalise_synchronised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.scope import Record

_NAMES = ("gamma", "beta", "moving_mean", "moving_variance")


@tf.keras.saving.register_keras_serializable(package="tfres")
class SwitchableBatchNorm(tf.keras.layers.Layer):
    """One batch norm per setting behind one layer: y = gamma_s (x - mean) / sqrt(var + epsilon) + beta_s.

    Training normalises with the batch's mean and biased variance; the moving variance takes the unbiased one,
    N/(N-1) with N = batch*height*width, as PyTorch and fused TensorFlow kernels do. Statistics are float32 under mixed
    precision. Under replicas every replica normalises with its own batch and the moving averages take the mean over
    replicas. Inside a `quant.StepScope` they are updated when the scope is applied, else at once.

    Args:
        settings: names of the settings, each gets its own variables `<setting>_gamma`, `_beta`, `_moving_mean`,
            `_moving_variance` of shape `(channels,)`.
        momentum: moving = momentum * moving + (1 - momentum) * batch.
        epsilon: added to the variance (1e-5 as in the reference implementations; Keras' own default is 1e-3).
        gamma_initializer: initial gamma; "zeros" for the last norm of a residual branch in some recipes.
        synchronised: under replicas of `tf.distribute`, normalise with the statistics of the whole batch. Not inside a
            condition, where replicas cannot wait for one another.

    Call arguments: `inputs` `(batch, height, width, channels)`, `at` (its setting; may be left out when there is
    one), `training`. Output: like `inputs`.

    Raises:
        ValueError: unknown setting; duplicate or no settings.
    """

    def __init__(
        self,
        settings: Sequence,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        gamma_initializer: str | tf.keras.initializers.Initializer = "ones",
        synchronised: bool = False,
        **kwargs: object,
    ) -> None:
        settings = checks.names("settings", settings)
        momentum = checks.number("momentum", momentum, "a number from 0 to 1", lambda value: 0 <= value <= 1)
        epsilon = checked_epsilon(epsilon)
        synchronised = checks.flag("synchronised", synchronised)
        super().__init__(**kwargs)
        self.settings = settings
        self.momentum = momentum
        self.epsilon = epsilon
        self.gamma_initializer = tf.keras.initializers.get(gamma_initializer)
        self.synchronised = synchronised
        self.input_spec = tf.keras.layers.InputSpec(ndim=4)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "settings": list(self.settings),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "gamma_initializer": tf.keras.initializers.serialize(self.gamma_initializer),
            "synchronised": self.synchronised,
        }

    def build(self, input_shape: Any) -> None:
        channels = checked_channels(input_shape)
        self._own = {
            setting: {
                "gamma": self._add(f"{setting}_gamma", channels, self.gamma_initializer, True),
                "beta": self._add(f"{setting}_beta", channels, "zeros", True),
                "moving_mean": self._add(f"{setting}_moving_mean", channels, "zeros", False),
                "moving_variance": self._add(f"{setting}_moving_variance", channels, "ones", False),
            }
            for setting in self.settings
        }
        self.input_spec = tf.keras.layers.InputSpec(ndim=4, axes={-1: channels})
        super().build(input_shape)

    def _add(
        self, name: str, channels: int, initializer: str | tf.keras.initializers.Initializer, trainable: bool
    ) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=(channels,),
            initializer=initializer,
            trainable=trainable,
            experimental_autocast=False,
            aggregation=tf.VariableAggregation.MEAN,
        )

    def variables_of(self, setting: object = None) -> dict[str, tf.Variable | tf.Tensor]:
        """Gamma, beta, moving_mean and moving_variance used at `setting`, by name."""
        name = self.settings[0] if setting is None and len(self.settings) == 1 else str(setting)
        if name not in self._own:
            raise ValueError(f"`setting` must be one of {', '.join(self.settings)}. Received: setting={name}.")
        return self._own[name]

    def affine(self, at: At | None = None) -> tuple[tf.Variable | tf.Tensor, tf.Variable | tf.Tensor]:
        """Gamma and beta used there."""
        own = self.variables_of(checked_at(at).setting)
        return own["gamma"], own["beta"]

    def statistics_name(self, at: At | None = None) -> str | None:
        """Name of the statistics that training there moves, or None."""
        setting = checked_at(at).setting
        return self.settings[0] if setting is None else str(setting)

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        gamma, beta = self.affine(at)
        if not training:
            own = self.variables_of(checked_at(at).setting)
            return normalise(inputs, gamma, beta, self.epsilon, own["moving_mean"], own["moving_variance"])[0]
        measured = normalise_synchronised if self.synchronised else normalise
        outputs, mean, variance = measured(inputs, gamma, beta, self.epsilon)
        name = self.statistics_name(at)
        if name is not None:
            record(self, name, self._statistics(inputs, tf.stop_gradient(mean), tf.stop_gradient(variance)))
        return outputs

    def _statistics(self, inputs: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """What is recorded of a batch; means and unbiased variances come first."""
        return mean, variance

    def calibrated(self, statistics: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Mean and variance that calibration takes of recorded statistics: the unbiased ones."""
        return list(statistics[:2])

    def apply_statistics(self, records: Sequence[Record]) -> tf.Operation | None:
        """Move the averages by the recorded sums of means and unbiased variances; returns the operation."""
        updates = []
        for setting, entries in by_setting(records).items():
            own = self.variables_of(setting)
            for number, name in enumerate(("moving_mean", "moving_variance")):
                value = tf.convert_to_tensor(own[name])
                for entry in entries:
                    value = self._moved(value, entry.statistics[number], entry.count)
                updates.append(own[name].assign(value))
        return tf.group(*updates)

    def _moved(self, value: tf.Tensor, total: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
        if not tf.is_tensor(count):
            return self.momentum * value + (1 - self.momentum) * (total / count)
        mean = total / tf.cast(tf.maximum(count, 1), total.dtype)
        return tf.where(count > 0, self.momentum * value + (1 - self.momentum) * mean, value)

    def served_form(self, settings: Sequence) -> StackedBatchNorm:
        """The layer of a served network that knows `settings` by number; one for all where it has the one alone."""
        return StackedBatchNorm(
            settings if len(self.settings) > 1 else self.settings, self.epsilon, name=self.name, dtype=self.dtype_policy
        )


@tf.keras.saving.register_keras_serializable(package="tfres")
class StackedBatchNorm(tf.keras.layers.Layer):
    """The served form of `SwitchableBatchNorm`: one variable `values` `(settings, 4, channels)`, inference only.

    `at` has the number of the setting or shares of the settings (see `quant.stacked.pick`; gamma, beta, mean and variance are
    mixed), so that one graph serves them all. Outputs are equal to those of `SwitchableBatchNorm` bit for bit.

    Args:
        settings: names of the settings, in the order of their numbers.
        epsilon: as there.
    """

    def __init__(self, settings: Sequence, epsilon: float = 1e-5, **kwargs: object) -> None:
        settings, epsilon = checks.names("settings", settings), checked_epsilon(epsilon)
        super().__init__(**kwargs)
        self.settings = settings
        self.epsilon = epsilon
        self.folded = False  # whether it is to be part of the convolution before it, see `serving.normalised`
        self.input_spec = tf.keras.layers.InputSpec(ndim=4)

    def get_config(self) -> dict:
        return {**super().get_config(), "settings": list(self.settings), "epsilon": self.epsilon}

    def build(self, input_shape: Any) -> None:
        channels = checked_channels(input_shape)
        self.values = self.add_weight(
            name="values",
            shape=(len(self.settings), len(_NAMES), channels),
            initializer="ones",
            trainable=False,
            experimental_autocast=False,
        )
        self.input_spec = tf.keras.layers.InputSpec(ndim=4, axes={-1: channels})
        super().build(input_shape)

    def assign(self, norm: SwitchableBatchNorm) -> None:
        """Take the values of a `SwitchableBatchNorm`."""
        own = [norm.variables_of(setting) for setting in self.settings]
        self.values.assign(tf.stack([tf.stack([variables[name] for name in _NAMES]) for variables in own]))

    def scale_and_shift(self, at: At | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The norm as inputs * scale + shift, both float32 `(channels,)`."""
        gamma, beta, mean, variance = tf.unstack(pick(self.values, at))
        scale = gamma * tf.math.rsqrt(variance + self.epsilon)
        return scale, beta - mean * scale

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        gamma, beta, mean, variance = tf.unstack(pick(self.values, at))
        return normalise(inputs, gamma, beta, self.epsilon, mean, variance)[0]


def checked_epsilon(epsilon: object) -> float:
    """A positive number.

    Raises:
        ValueError: anything else.
    """
    return checks.number("epsilon", epsilon, "a positive number", lambda value: value > 0)


def checked_channels(input_shape: Any) -> int:
    """The last entry of an input shape.

    Raises:
        ValueError: it is not known.
    """
    channels = tf.TensorShape(input_shape)[-1]
    if not channels:
        raise ValueError(f"`inputs` must have a known number of channels. Received: inputs.shape={input_shape}.")
    return channels
