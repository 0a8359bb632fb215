"""Convolutions whose kernel is generated from the setting (SAN's meta learner)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import At, QuantConv2D, QuantDepthwiseConv2D, checks
from quant.at import checked_at
from quant.grid import kernel_on_grid
from quant.scope import once
from quant.stacked import pick

if TYPE_CHECKING:
    from collections.abc import Sequence


class _GeneratedKernel:
    """Mixin: K(e) = slope * e + kernel, one affine map from the setting's encoding e to the whole kernel.

    With bits K(e) is quantized, by bases that all settings share and every setting moves. In a `quant.StepScope` a setting's
    kernel is generated once.
    """

    def __init__(
        self,
        *args: object,
        encodings: Mapping[str, float],
        slope_initializer: str | tf.keras.initializers.Initializer = "zeros",
        **kwargs: object,
    ) -> None:
        if not isinstance(encodings, Mapping) or not encodings:
            raise checks.wrong("encodings", "a mapping of settings to numbers", encodings)
        checks.names("encodings", list(encodings))
        encodings = {str(name): checks.number("encodings", e, "finite numbers") for name, e in encodings.items()}
        super().__init__(*args, **kwargs)
        self.encodings = encodings
        self.slope_initializer = tf.keras.initializers.get(slope_initializer)
        self._on_grid = False

    def get_config(self) -> dict:
        slope_initializer = tf.keras.initializers.serialize(self.slope_initializer)
        return {**super().get_config(), "encodings": dict(self.encodings), "slope_initializer": slope_initializer}

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        shape = self.latent_kernel.shape
        self.slope = self.add_weight(name="slope", shape=shape, initializer=self.slope_initializer)

    def generated_kernel(self, at: At | None = None) -> tf.Tensor:
        """The float kernel at a setting: `at.setting`, or in a served network `at.index` or `at.shares` in the order of
        `encodings`; none is needed when there is one.
        """
        at = checked_at(at)
        if _served(at):
            encoding = tf.cast(pick(tf.constant(list(self.encodings.values()), self.variable_dtype), at), self.compute_dtype)
        else:
            encoding = self.encodings[self._known_name(at)]
        slope, base = (tf.cast(variable, self.compute_dtype) for variable in (self.slope, self.latent_kernel))
        return slope * encoding + base

    def quantized_kernel(self, at: At | None = None, training: bool | None = False) -> tf.Tensor:
        """The kernel as the layer applies it at a setting, in the compute dtype; once per setting and step."""
        at = checked_at(at)
        if _served(at):
            kernel = self.generated_kernel(at)
            if self.weight_bits is not None:
                kernel = self.weight_quantizer(kernel)
            if self._on_grid:
                kernel = kernel_on_grid(kernel, self.weight_quantizer.basis.shape[1])
            return tf.cast(kernel, self.compute_dtype)
        key = ("generated", self._known_name(at))

        def quantized() -> tf.Tensor:
            kernel = once((self, key), lambda: self.generated_kernel(at))
            if self.weight_bits is None:
                return kernel
            own = At(setting=self._known_name(at))
            kernel = self.weight_quantizer(kernel, at=own, training=training, kernel_key=key)
            return tf.cast(kernel, self.compute_dtype)

        return once((self, key, bool(training)), quantized)

    def served_form(self, settings: Sequence) -> tf.keras.layers.Layer:
        """The layer of a served network that knows `settings` by number: itself, with their encodings in that order."""
        encodings = {str(setting): self.encodings[self._known_name(At(setting))] for setting in settings}
        return type(self).from_config({**self.get_config(), "encodings": encodings})

    def assign(self, layer: tf.keras.layers.Layer) -> None:
        """Take the values of the layer whose served form this is."""
        self.set_weights(layer.get_weights())

    def snap(self, layer: tf.keras.layers.Layer) -> bool:
        """Move every kernel that is generated to the int8 grid, if it has bits; tells whether."""
        self._on_grid = self.weight_bits is not None
        return self._on_grid

    def packed_kernel(self) -> None:
        """None: a kernel that is generated in every call is not stored."""

    def _known_name(self, at: At) -> str:
        if at.setting is None and len(self.encodings) == 1:
            return next(iter(self.encodings))
        if str(at.setting) not in self.encodings:
            known = ", ".join(self.encodings)
            raise ValueError(f"`setting` must be one of {known}. Received: setting={at.setting}.")
        return str(at.setting)


def _served(at: At) -> bool:
    return at.index is not None or at.shares is not None


@tf.keras.saving.register_keras_serializable(package="tfres")
class MetaConv2D(_GeneratedKernel, QuantConv2D):
    """2-D convolution (also grouped) with the kernel K(e) = slope * e + kernel at the encoding e of the setting.

    Arguments as `quant.QuantConv2D`, and:
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
