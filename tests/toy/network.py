"""Two convolutions with norms of the resolution's own."""

from __future__ import annotations

import tensorflow as tf

from quant import QuantConv2D
from tests.toy.options import ToyOptions
from tfres.layers import SwitchableBatchNorm
from tfres.models.backbones import Parts
from tfres.models.backbones.parts import Backbone, through
from tfres.models.network import Network


class ToyBackbone(Backbone):
    """Two strided convolutions with norms; maps at strides 2 and 4."""

    def __init__(self, parts: Parts, channels: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.channels = parts.channels(channels, 1)
        self.steps = [
            [parts.conv(parts.channels(channels, place), 3, 2, f"conv{place}"), parts.norm(self.channels, f"bn{place}")]
            for place in range(2)
        ]

    def call(self, images, at=None, training=None):
        first = tf.nn.relu(through(self.steps[0], images, at, training))
        return {2: first, 4: tf.nn.relu(through(self.steps[1], first, at, training))}


@tf.keras.saving.register_keras_serializable(package="toy")
class ToyNet(Network):
    """The smallest network that runs at several resolutions. Arguments: `ToyOptions`."""

    Options = ToyOptions

    def parts(self) -> Parts:
        return Parts(
            channels=lambda count, place, ratio=1: count,
            conv=lambda channels, kernel_size, strides, name, quantized=True, groups=1: QuantConv2D(
                channels, kernel_size, strides=strides, padding="same", use_bias=False, name=name
            ),
            depthwise=None,
            norm=lambda channels, name, gamma_initializer="ones": SwitchableBatchNorm(self.settings, name=name),
            quantizer=lambda name: None,
        )

    def make_backbone(self, parts: Parts) -> tf.keras.layers.Layer:
        return ToyBackbone(parts, self.options.channels, name="backbone")

    def make_classifier(self) -> tf.keras.layers.Layer:
        return tf.keras.layers.Dense(self.options.classes, name="linear")
