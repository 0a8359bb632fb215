"""MobileNetV2 without its classifier, and MNasNet, which is built of the same blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from quant import checks
from tfres.models.backbones.parts import Backbone, Channels, Parts, through

if TYPE_CHECKING:
    from quant.at import At

# Expansion, channels, blocks, stride of the first block, kernel size.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 32, 3, 2, 3),
    (6, 64, 4, 2, 3),
    (6, 96, 3, 1, 3),
    (6, 160, 3, 2, 3),
    (6, 320, 1, 1, 3),
)
_MNASNET_STAGES = (
    (1, 16, 1, 1, 3),
    (3, 24, 3, 2, 3),
    (3, 40, 3, 2, 5),
    (6, 80, 3, 2, 5),
    (6, 96, 2, 1, 3),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_STEM, _LAST = 32, 1280


class InvertedResidual(tf.keras.layers.Layer):
    """1x1 convolution that expands, depthwise one, 1x1 convolution; relu6 after the first two.

    Args:
        parts: layer factories.
        inputs, expanded, outputs: channels; `expanded` None leaves the first convolution out.
        kernel_size, stride: of the depthwise convolution.
        residual: whether the input is added.
    """

    def __init__(
        self,
        parts: Parts,
        inputs: Channels,
        expanded: Channels,
        outputs: Channels,
        kernel_size: int,
        stride: int,
        residual: bool,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.stride = stride
        self.residual = residual
        self.expand = []
        if expanded is not None:
            self.expand = [parts.conv(expanded, 1, 1, "expand"), parts.norm(expanded, "expand_bn")]
            inputs = expanded
        self.depthwise = [parts.depthwise(inputs, kernel_size, stride, "depthwise"), parts.norm(inputs, "depthwise_bn")]
        self.project = [parts.conv(outputs, 1, 1, "project"), parts.norm(outputs, "project_bn")]

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        x = inputs
        for layers in (self.expand, self.depthwise):
            if layers:
                x = tf.nn.relu6(through(layers, x, at, training))
        x = through(self.project, x, at, training)
        return x + inputs if self.residual else x


class MobileNetV2(Backbone):
    """Stem, inverted residuals and last 1x1 convolution; feature maps of strides 2, 4, 8, 16 and 32.

    Args:
        parts: layer factories.
        width_mult: multiplies all channels, rounded by `make_divisible`; the last 1280 only grow.

    Reference: Sandler et al., arXiv 1801.04381, as in RS-Nets' code (no dropout).
    """

    _stages = _STAGES

    def __init__(self, parts: Parts, width_mult: float = 1.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        width_mult = checks.number("width_mult", width_mult, "a positive number", lambda value: value > 0)
        count, place = make_divisible(_STEM * width_mult), 0
        channels = parts.channels(count, place)
        self.stem = [parts.conv(channels, 3, 2, "conv0", quantized=False), parts.norm(channels, "conv0_bn")]
        self.blocks = []
        for expansion, width, blocks, first_stride, kernel_size in self._stages:
            outputs = make_divisible(width * width_mult)
            for stride in (first_stride, *[1] * (blocks - 1)):
                inputs, residual, expanded = channels, stride == 1 and count == outputs, None
                if expansion != 1:
                    place += 1
                    expanded = parts.channels(expansion * count, place, ratio=expansion)
                place += 1
                count, channels = outputs, parts.channels(outputs, place)
                shape = (inputs, expanded, channels, kernel_size, stride, residual)
                self.blocks.append(InvertedResidual(parts, *shape, name=f"block{len(self.blocks)}"))
        self.channels = parts.channels(make_divisible(_LAST * max(1.0, width_mult)), place + 1, ratio=None)
        self.last = [parts.conv(self.channels, 1, 1, "conv_last"), parts.norm(self.channels, "conv_last_bn")]

    def call(self, images: tf.Tensor, at: At | None = None, training: bool | None = None) -> dict[int, tf.Tensor]:
        x, stride, maps = tf.nn.relu6(through(self.stem, images, at, training)), 2, {}
        for block in self.blocks:
            x, stride = block(x, at=at, training=training), stride * block.stride
            maps[stride] = x
        maps[stride] = tf.nn.relu6(through(self.last, x, at, training))
        return maps


class MNasNet(MobileNetV2):
    """MNasNet (its variant B1): as `MobileNetV2`, with other expansions and widths and kernels of 3 and 5; relu6.

    Args:
        parts, width_mult: see `MobileNetV2`.

    Reference: Tan et al., arXiv 1807.11626, as in AutoSlim's code, which has relu6 for relu.
    """

    _stages = _MNASNET_STAGES


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, at least `divisor` and at least 90 % of `channels`.

    Example:
        >>> make_divisible(24 * 0.75), make_divisible(18)
        (24, 24)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
