"""MobileNetV1 without its classifier."""

import tensorflow as tf

from tfres.models.backbones.parts import through

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
        channels: of the output.
        stride: of the depthwise convolution.
    """

    def __init__(self, parts, channels, stride, **kwargs):
        super().__init__(**kwargs)
        self.depthwise = [parts.depthwise(3, stride, "depthwise"), parts.norm("depthwise_bn")]
        self.pointwise = [parts.conv(channels, 1, 1, "pointwise"), parts.norm("pointwise_bn")]

    def call(self, inputs, setting=None, training=None):
        x = tf.nn.relu6(through(self.depthwise, inputs, setting, training))
        return tf.nn.relu6(through(self.pointwise, x, setting, training))


class MobileNetV1(tf.keras.layers.Layer):
    """Stem, thirteen separable blocks and global average pooling; images `(batch, side, side, 3)` to `(batch, channels)`.

    Args:
        parts: layer factories.

    Reference: Howard et al., arXiv 1704.04861, as in MutualNet's code (relu6).
    """

    def __init__(self, parts, **kwargs):
        super().__init__(**kwargs)
        self.stem = [parts.conv(_STEM, 3, 2, "conv0", quantized=False), parts.norm("conv0_bn")]
        self.blocks = [
            SeparableBlock(parts, channels, stride, name=f"block{number}") for number, (channels, stride) in enumerate(_BLOCKS)
        ]
        self.channels = _BLOCKS[-1][0]

    def call(self, inputs, setting=None, training=None):
        x = tf.nn.relu6(through(self.stem, inputs, setting, training))
        return tf.reduce_mean(through(self.blocks, x, setting, training), [1, 2])
