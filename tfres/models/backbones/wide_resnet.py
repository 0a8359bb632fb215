"""Wide residual networks for CIFAR without their classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from quant import checks
from tfres.models.backbones.parts import Backbone, Channels, Parts, through, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.at import At


class WideBlock(tf.keras.layers.Layer):
    """norm -> relu -> 3x3 -> norm -> relu -> 3x3, plus the input; with a projection, plus a 1x1 convolution of the activated
    input.

    Args:
        parts: layer factories.
        inputs: channels.
        count: channels of the convolutions at width 1.
        place: of the first convolution, see `Parts`; a block has two, or three with a projection.
        stride: of the first convolution and the projection.
        project: whether channels change.
        dropout: rate between the convolutions.
    """

    def __init__(
        self,
        parts: Parts,
        inputs: Channels,
        count: int,
        place: int,
        stride: int,
        project: bool,
        dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        inner, self.channels = parts.channels(count, place), parts.channels(count, place + 1)
        self.stride = stride
        self.norm1, self.conv1 = parts.norm(inputs, "conv1_bn"), parts.conv(inner, 3, stride, "conv1")
        self.norm2, self.conv2 = parts.norm(inner, "conv2_bn"), parts.conv(self.channels, 3, 1, "conv2")
        self.dropout = tf.keras.layers.Dropout(dropout) if dropout else None
        self.shortcut = parts.conv(parts.channels(count, place + 2), 1, stride, "convshortcut") if project else None

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        activated = tf.nn.relu(through([self.norm1], inputs, at, training))
        x = tf.nn.relu(through([self.conv1, self.norm2], activated, at, training))
        if self.dropout is not None:
            x = self.dropout(x, training=training)
        x = through([self.conv2], x, at, training)
        return x + (inputs if self.shortcut is None else through([self.shortcut], activated, at, training))


class WideResNet(Backbone):
    """3x3 stem, groups of pre-activated blocks, norm and relu; feature maps of strides 1, 2, 4.

    Args:
        parts: layer factories.
        blocks: blocks per group; every group but the first begins with stride 2.
        widths: channels of stem and groups: 16, 16 k, 32 k, 64 k.
        dropout: rate between the convolutions of a block.

    Reference: Zagoruyko and Komodakis, arXiv 1605.07146, as in MutualNet's code.
    """

    def __init__(
        self, parts: Parts, blocks: Sequence[int], widths: Sequence[int], dropout: float = 0.0, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        blocks, widths = whole_numbers("blocks", blocks), whole_numbers("widths", widths)
        dropout = checks.number("dropout", dropout, "a rate from 0 to below 1", lambda value: 0 <= value < 1)
        if len(widths) != len(blocks) + 1:
            raise ValueError(f"`widths` must be {len(blocks) + 1}, of stem and groups. Received: widths={widths}.")
        count, place = widths[0], 1
        channels = parts.channels(count, 0)
        self.stem = parts.conv(channels, 3, 1, "conv0", quantized=False)
        self.blocks = []
        for g, (number, width) in enumerate(zip(blocks, widths[1:], strict=True)):
            for b in range(number):
                stride, project = 2 if g > 0 and b == 0 else 1, count != width
                if stride > 1 and not project:
                    raise ValueError(f"`widths` must differ from group to group. Received: widths={widths}.")
                block = WideBlock(parts, channels, width, place, stride, project, dropout, name=f"group{g}_block{b}")
                self.blocks.append(block)
                count, channels, place = width, block.channels, place + 2 + project
        self.norm = parts.norm(channels, "bn_last")
        self.channels = channels

    def call(self, images: tf.Tensor, at: At | None = None, training: bool | None = None) -> dict[int, tf.Tensor]:
        x, stride, maps = through([self.stem], images, at, training), 1, {}
        for block in self.blocks:
            x, stride = block(x, at=at, training=training), stride * block.stride
            maps[stride] = x
        maps[stride] = tf.nn.relu(through([self.norm], x, at, training))
        return maps
