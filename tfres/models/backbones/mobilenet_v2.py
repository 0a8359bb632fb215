"""MobileNetV2 without its classifier."""

import tensorflow as tf

from tfres.models.backbones.parts import through

# Expansion, channels, blocks, stride of the first block.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_STEM, _LAST = 32, 1280


class InvertedResidual(tf.keras.layers.Layer):
    """1x1 to `expansion` times the channels (left out at 1), depthwise 3x3, 1x1; relu6 after the first two.

    Args:
        parts: layer factories.
        inputs, channels: of input and output; the input is added where they are equal and `stride` is 1.
        stride: of the depthwise convolution.
        expansion: see above.
    """

    def __init__(self, parts, inputs, channels, stride, expansion, **kwargs):
        super().__init__(**kwargs)
        self.residual = stride == 1 and inputs == channels
        self.expand = []
        if expansion != 1:
            self.expand = [parts.conv(expansion * inputs, 1, 1, "expand", ratio=expansion), parts.norm("expand_bn")]
        self.depthwise = [parts.depthwise(3, stride, "depthwise"), parts.norm("depthwise_bn")]
        self.project = [parts.conv(channels, 1, 1, "project"), parts.norm("project_bn")]

    def call(self, inputs, setting=None, training=None):
        x = inputs
        for layers in (self.expand, self.depthwise):
            if layers:
                x = tf.nn.relu6(through(layers, x, setting, training))
        x = through(self.project, x, setting, training)
        return x + inputs if self.residual else x


class MobileNetV2(tf.keras.layers.Layer):
    """Stem, inverted residuals, last 1x1 convolution and global average pooling.

    Images `(batch, side, side, 3)` to features `(batch, channels)`.

    Args:
        parts: layer factories.
        width_mult: multiplies all channels, rounded by `make_divisible`; the last 1280 only grow.

    Reference: Sandler et al., arXiv 1801.04381, as in RS-Nets' code (no dropout).
    """

    def __init__(self, parts, width_mult=1.0, **kwargs):
        super().__init__(**kwargs)
        channels = make_divisible(_STEM * width_mult)
        self.stem = [parts.conv(channels, 3, 2, "conv0", quantized=False), parts.norm("conv0_bn")]
        self.blocks = []
        for expansion, width, count, first_stride in STAGES:
            for b in range(count):
                inputs, channels = channels, make_divisible(width * width_mult)
                stride = first_stride if b == 0 else 1
                name = f"block{len(self.blocks)}"
                self.blocks.append(InvertedResidual(parts, inputs, channels, stride, expansion, name=name))
        self.channels = make_divisible(_LAST * max(1.0, width_mult))
        self.last = [parts.conv(self.channels, 1, 1, "conv_last", ratio=None), parts.norm("conv_last_bn")]

    def call(self, inputs, setting=None, training=None):
        x = tf.nn.relu6(through(self.stem, inputs, setting, training))
        x = through(self.blocks, x, setting, training)
        x = tf.nn.relu6(through(self.last, x, setting, training))
        return tf.reduce_mean(x, [1, 2])


def make_divisible(channels, divisor=8):
    """The multiple of `divisor` nearest to `channels`, at least `divisor` and at least 90 % of `channels`.

    Example:
        >>> make_divisible(24 * 0.75), make_divisible(18)
        (24, 24)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
