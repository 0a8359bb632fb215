"""Wide residual networks for CIFAR without their classifier."""

import tensorflow as tf

from tfres.models.backbones.parts import through


class WideBlock(tf.keras.layers.Layer):
    """norm -> relu -> 3x3 -> norm -> relu -> 3x3, plus the input; where channels change, plus a 1x1 convolution of the
    activated input.

    Args:
        parts: layer factories.
        inputs, channels: of input and output.
        stride: of the first convolution and the shortcut.
        dropout: rate between the convolutions.
    """

    def __init__(self, parts, inputs, channels, stride, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.norm1, self.conv1 = parts.norm("conv1_bn"), parts.conv(channels, 3, stride, "conv1")  # in this order, see Parts
        self.norm2, self.conv2 = parts.norm("conv2_bn"), parts.conv(channels, 3, 1, "conv2")
        self.dropout = tf.keras.layers.Dropout(dropout) if dropout else None
        self.shortcut = parts.conv(channels, 1, stride, "convshortcut") if inputs != channels else None

    def call(self, inputs, setting=None, training=None):
        activated = tf.nn.relu(through([self.norm1], inputs, setting, training))
        x = tf.nn.relu(through([self.conv1, self.norm2], activated, setting, training))
        if self.dropout is not None:
            x = self.dropout(x, training=training)
        x = through([self.conv2], x, setting, training)
        return x + (inputs if self.shortcut is None else through([self.shortcut], activated, setting, training))


class WideResNet(tf.keras.layers.Layer):
    """3x3 stem, three groups of pre-activated blocks, norm, relu and global average pooling.

    Images `(batch, side, side, 3)` to features `(batch, channels)`.

    Args:
        parts: layer factories.
        blocks: blocks per group.
        widths: channels of stem and groups: 16, 16 k, 32 k, 64 k.
        dropout: rate between the convolutions of a block.

    Reference: Zagoruyko and Komodakis, arXiv 1605.07146, as in MutualNet's code.
    """

    def __init__(self, parts, blocks, widths, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        inputs, *groups = widths
        self.stem = parts.conv(inputs, 3, 1, "conv0", quantized=False)
        self.blocks = []
        for g, (count, channels) in enumerate(zip(blocks, groups, strict=True)):
            for b in range(count):
                stride = 2 if g > 0 and b == 0 else 1
                self.blocks.append(WideBlock(parts, inputs, channels, stride, dropout, name=f"group{g}_block{b}"))
                inputs = channels
        self.norm = parts.norm("bn_last")
        self.channels = inputs

    def call(self, inputs, setting=None, training=None):
        x = through([self.stem, *self.blocks, self.norm], inputs, setting, training)
        return tf.reduce_mean(tf.nn.relu(x), [1, 2])
