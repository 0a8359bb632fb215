"""MobileNetV1 without its classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.models.backbones.parts import Backbone, Channels, Parts, through

if TYPE_CHECKING:
    from quant.at import At

# Channels and stride of the separable blocks.
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
_STEM = 32


class SeparableBlock(tf.keras.layers.Layer):
    """Depthwise 3x3 and 1x1 convolution, each followed by its norm and relu6.

    Args:
        parts: layer factories.
        inputs, outputs: channels.
        stride: of the depthwise convolution.
    """

    def __init__(self, parts: Parts, inputs: Channels, outputs: Channels, stride: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.depthwise = [parts.depthwise(inputs, 3, stride, "depthwise"), parts.norm(inputs, "depthwise_bn")]
        self.pointwise = [parts.conv(outputs, 1, 1, "pointwise"), parts.norm(outputs, "pointwise_bn")]

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        x = tf.nn.relu6(through(self.depthwise, inputs, at, training))
        return tf.nn.relu6(through(self.pointwise, x, at, training))


class MobileNetV1(Backbone):
    """Stem and thirteen separable blocks; feature maps of strides 2, 4, 8, 16 and 32.

    Args:
        parts: layer factories.

    Reference: Howard et al., arXiv 1704.04861, as in MutualNet's code (relu6).
    """

    def __init__(self, parts: Parts, **kwargs: object) -> None:
        super().__init__(**kwargs)
        channels = parts.channels(_STEM, 0)
        self.stem = [parts.conv(channels, 3, 2, "conv0", quantized=False), parts.norm(channels, "conv0_bn")]
        self.blocks = []
        for number, (count, stride) in enumerate(_BLOCKS):
            inputs, channels = channels, parts.channels(count, 1 + number)
            self.blocks.append(SeparableBlock(parts, inputs, channels, stride, name=f"block{number}"))
        self.channels = channels

    def call(self, images: tf.Tensor, at: At | None = None, training: bool | None = None) -> dict[int, tf.Tensor]:
        x, stride, maps = tf.nn.relu6(through(self.stem, images, at, training)), 2, {}
        for block, (_, block_stride) in zip(self.blocks, _BLOCKS, strict=True):
            x, stride = block(x, at=at, training=training), stride * block_stride
            maps[stride] = x
        return maps
