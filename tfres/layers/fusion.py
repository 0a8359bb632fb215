"""Paths between feature maps of different size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.layers.serving import normalised

if TYPE_CHECKING:
    from quant.at import At
    from tfres.models.backbones import Parts


class ConvNorm(tf.keras.layers.Layer):
    """Convolution and batch norm, with or without ReLU.

    Args:
        parts: `tfres.models.backbones.Parts`.
        channels, kernel_size, strides: of the convolution.
        relu: whether a ReLU follows.
        norm: further arguments of the norm.
        conv: of the convolution.
    """

    def __init__(
        self,
        parts: Parts,
        channels: int,
        kernel_size: int,
        strides: int = 1,
        relu: bool = True,
        norm: dict[str, Any] | None = None,
        name: str | None = None,
        **conv: Any,
    ) -> None:
        super().__init__(name=name)
        self.conv = parts.conv(channels, kernel_size, strides, name="conv", **conv)
        self.norm = parts.norm(channels, name="norm", **(norm or {}))
        self._activation = tf.nn.relu if relu else tf.identity

    def call(self, x: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        return normalised(self.conv, self.norm, x, self._activation, training, at)


class FusionPath(tf.keras.layers.Layer):
    """A map brought to the channels and the size of another: to a larger map by a 1x1 convolution, a norm and repetition of
    every value; to a smaller one by 3x3 convolutions of stride 2 with norms, ReLU between them.

    Args:
        parts: `tfres.models.backbones.Parts`.
        inputs: channels that come in, which all convolutions but the last keep.
        channels: of the output.
        halvings: how often the sides are halved; negative: doubled.
        norm: further arguments of the norms.

    Input `(batch, height, width, inputs)`, output `(batch, height / 2^halvings, width / 2^halvings, channels)`.
    """

    def __init__(
        self,
        parts: Parts,
        inputs: int,
        channels: int,
        halvings: int,
        norm: dict[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if halvings == 0:
            raise ValueError(f"`halvings` must not be 0. Received: halvings={halvings}.")
        self.halvings = halvings
        if halvings < 0:
            self.units = [ConvNorm(parts, channels, 1, relu=False, norm=norm, name="unit0")]
            return
        last = halvings - 1
        self.units = [
            ConvNorm(parts, channels if place == last else inputs, 3, 2, place < last, norm, name=f"unit{place}")
            for place in range(halvings)
        ]

    def call(self, x: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        for unit in self.units:
            x = unit(x, at=at, training=training)
        return x if self.halvings > 0 else repeated(x, 2**-self.halvings)


def repeated(x: tf.Tensor, factor: int) -> tf.Tensor:
    """A map `(batch, height, width, channels)` whose every value is repeated `factor` times along height and width."""
    sides = [side * factor if side else tf.shape(x)[axis] * factor for axis, side in enumerate(x.shape[1:3], 1)]
    return tf.raw_ops.ResizeNearestNeighbor(images=x, size=sides)
