"""Batch norm that all settings share, with further statistics for those that were calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import checks
from tfres.layers.switchable_batch_norm import StackedBatchNorm, SwitchableBatchNorm, checked_channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant import At

ALL = "all"  # the statistics that training moves, for whatever setting it runs


@tf.keras.saving.register_keras_serializable(package="tfres")
class SharedBatchNorm(SwitchableBatchNorm):
    """Batch norm whose gamma, beta and statistics (`all_moving_mean`, ...) are those of all settings; a setting may have
    statistics of its own, which calibration sets (`<setting>_moving_mean`, ...).

    Training moves the statistics of all, wherever it runs. Inference takes those of the setting, else those of all.

    Args:
        settings: names of the settings with statistics of their own.
        others: see `SwitchableBatchNorm`.
    """

    def __init__(self, settings: Sequence = (), **kwargs: object) -> None:
        named = not isinstance(settings, (list, tuple)) or len(settings) > 0
        super().__init__([ALL, *(checks.names("settings", settings) if named else [])], **kwargs)

    def get_config(self) -> dict:
        return {**super().get_config(), "settings": self.settings[1:]}

    def build(self, input_shape: Any) -> None:
        channels = checked_channels(input_shape)
        self.gamma = self._add("gamma", channels, self.gamma_initializer, True)
        self.beta = self._add("beta", channels, "zeros", True)
        self._own = {
            name: {
                "moving_mean": self._add(f"{name}_moving_mean", channels, "zeros", False),
                "moving_variance": self._add(f"{name}_moving_variance", channels, "ones", False),
            }
            for name in self.settings
        }
        self.input_spec = tf.keras.layers.InputSpec(ndim=4, axes={-1: channels})
        tf.keras.layers.Layer.build(self, input_shape)

    def variables_of(self, setting: object = None) -> dict[str, tf.Variable | tf.Tensor]:
        own = self._own.get(str(setting), self._own[ALL])
        return {"gamma": self.gamma, "beta": self.beta, **own}

    def affine(self, at: At | None = None) -> tuple[tf.Variable, tf.Variable]:
        return self.gamma, self.beta

    def statistics_name(self, at: At | None = None) -> str:
        return ALL

    def _statistics(self, inputs: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return mean, variance, tf.cast(tf.size(inputs) // tf.size(mean), variance.dtype)

    def calibrated(self, statistics: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        mean, variance, count = statistics
        return [mean, variance * (count - 1) / count]

    def served_form(self, settings: Sequence) -> StackedBatchNorm:
        return StackedBatchNorm(settings, self.epsilon, name=self.name, dtype=self.dtype_policy)
