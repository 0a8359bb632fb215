"""Residual networks for ImageNet and CIFAR stems: PyTorch's layout, and the three arrangements of LQ-Nets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from quant import checks
from tfres.models.backbones.parts import Backbone, Channels, Parts, through, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.at import At

MODES = ("float", "resnet", "preact", "preact_typeA")
_EXPANSION = {"basic": 1, "bottleneck": 4}


class ResidualBlock(tf.keras.layers.Layer):
    """One residual block; its output is the sum, before any relu.

    mode "float", "resnet": conv -> norm -> relu -> ... -> norm -> + shortcut; in "resnet" the last gamma starts at 0.
    mode "preact", "preact_typeA": [norm -> relu, except first in its group] -> quantizer -> conv -> norm -> relu ->
        quantizer -> conv -> norm -> + shortcut.

    Args:
        parts: layer factories.
        kind: "basic" (two 3x3) or "bottleneck" (1x1, 3x3, 1x1 to four times the width).
        mode: see above.
        inputs: channels.
        width: channels of the inner convolutions.
        place: of the first convolution, see `Parts`; the block has `places`.
        stride: of the first 3x3 convolution (basic), of the one named by `stride_in` (bottleneck), and of the shortcut.
        project: whether the shortcut changes channels (1x1 convolution and norm; in preact_typeA average pooling and
            zero channels).
        first: first block of its group: no pre-activation.
        quantized_input: the input already comes from a quantizer.
        quantize_shortcut: the projection also sees the quantized input.
        groups, base_width: of the bottleneck's 3x3 convolution, which has int(width * base_width / 64) * groups channels.
        stride_in: "3x3" or "1x1", the convolution of a bottleneck that has the stride.
    """

    def __init__(
        self,
        parts: Parts,
        kind: str,
        mode: str,
        inputs: Channels,
        width: int,
        place: int,
        stride: int,
        project: bool,
        first: bool,
        quantized_input: bool,
        quantize_shortcut: bool,
        groups: int = 1,
        base_width: int = 64,
        stride_in: str = "3x3",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.preact = mode.startswith("preact")
        self.first = first
        self.stride = stride
        self.quantize_shortcut = quantize_shortcut
        count = width * _EXPANSION[kind]
        if kind == "basic":
            shapes = [(width, 3, stride, 1, 1), (width, 3, 1, 1, 1)]
        else:
            inner = int(width * base_width / 64) * groups
            early, late = (stride, 1) if stride_in == "1x1" else (1, stride)
            share = inner / count
            shapes = [(inner, 1, early, 1, share), (inner, 3, late, groups, share), (count, 1, 1, 1, 1)]
        self.bn_preact = parts.norm(inputs, "bn_preact") if self.preact and not first else None
        self.convs, self.norms, self.quantizers = [], [], []
        for i, (filters, kernel_size, strides, conv_groups, ratio) in enumerate(shapes, 1):
            zero_gamma = i == len(shapes) and mode == "resnet"
            self.channels = parts.channels(filters, place + i - 1, ratio=ratio)
            self.convs.append(parts.conv(self.channels, kernel_size, strides, f"conv{i}", groups=conv_groups))
            self.norms.append(parts.norm(self.channels, f"conv{i}_bn", "zeros" if zero_gamma else "ones"))
            quantize = self.preact and not (i == 1 and quantized_input)
            self.quantizers.append(parts.quantizer(f"quant{i}") if quantize else None)
        self.pad_shortcut = project and mode == "preact_typeA"
        self.projection = []
        if project and not self.pad_shortcut:
            channels = parts.channels(count, place + len(shapes))
            self.projection = [parts.conv(channels, 1, stride, "convshortcut"), parts.norm(channels, "convshortcut_bn")]
        self.places = len(shapes) + bool(self.projection)

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        x = inputs
        if self.bn_preact is not None:
            x = tf.nn.relu(through([self.bn_preact], x, at, training))
        shortcut = inputs
        for i, layers in enumerate(zip(self.quantizers, self.convs, self.norms, strict=True)):
            x = through(layers[:1], x, at, training)
            if i == 0 and self.quantize_shortcut:
                shortcut = x
            x = through(layers[1:], x, at, training)
            if i + 1 < len(self.convs):
                x = tf.nn.relu(x)
        if not self.pad_shortcut:
            return x + through(self.projection, shortcut, at, training)
        if self.stride > 1:
            shortcut = tf.nn.avg_pool2d(shortcut, self.stride, self.stride, "SAME")
        return x + tf.pad(shortcut, [[0, 0], [0, 0], [0, 0], [0, x.shape[-1] - shortcut.shape[-1]]])


class ResidualGroup(tf.keras.layers.Layer):
    """Blocks of one width. Without `bn_last` a relu follows every block; with it the group ends norm -> relu -> quantizer."""

    def __init__(
        self,
        blocks: list[ResidualBlock],
        bn_last: tf.keras.layers.Layer | None,
        quant_last: tf.keras.layers.Layer | None,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.blocks = blocks
        self.bn_last = bn_last
        self.quant_last = quant_last

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        if self.bn_last is None:
            x = inputs
            for block in self.blocks:
                x = tf.nn.relu(block(x, at=at, training=training))
            return x
        x = through([*self.blocks, self.bn_last], inputs, at, training)
        return through([self.quant_last], tf.nn.relu(x), at, training)


class ResNet(Backbone):
    """Stem and residual groups; feature maps of strides 2, 4, 8, 16, 32 (stem "imagenet") or 1, 2, 4 ("cifar").

    Args:
        parts: layer factories.
        blocks: blocks per group; the first block of every group but the first has stride 2.
        widths: width per group.
        kind: "basic" or "bottleneck".
        mode: "float" (PyTorch's layout: the max pool too pads symmetrically), "resnet" (activations stay float), "preact"
            (projection shortcuts) or "preact_typeA" (parameter-free).
        stem: "imagenet" (7x7/2, 3x3/2 max pool) or "cifar" (3x3).
        quantize_first_shortcut: in "preact", quantize the input of the projection of the first block too; the
            reference leaves it float, through a branch that is never taken.
        groups, base_width, stride_in: of bottlenecks, see `ResidualBlock`.

    Reference: RS-Nets code, both halves, and LQ-Nets code. preact_typeA also works with basic blocks, and pads where a
    side is odd before a stride, where the reference fails.
    """

    def __init__(
        self,
        parts: Parts,
        blocks: Sequence[int],
        widths: Sequence[int],
        kind: str,
        mode: str,
        stem: str,
        quantize_first_shortcut: bool = False,
        groups: int = 1,
        base_width: int = 64,
        stride_in: str = "3x3",
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        blocks, widths = whole_numbers("blocks", blocks), whole_numbers("widths", widths)
        checks.choice("kind", kind, _EXPANSION)
        checks.choice("mode", mode, MODES)
        checks.choice("stem", stem, ("imagenet", "cifar"))
        checks.choice("stride_in", stride_in, ("3x3", "1x1"))
        checks.whole("groups", groups)
        checks.whole("base_width", base_width)
        checks.flag("quantize_first_shortcut", quantize_first_shortcut)
        _check_combination(blocks, widths, kind, groups, base_width, stride_in)
        self.imagenet = stem == "imagenet"
        self.symmetric = mode == "float"
        expansion = _EXPANSION[kind]
        size, stride = (7, 2) if self.imagenet else (3, 1)
        count, place = widths[0], 1
        channels = parts.channels(count, 0, ratio=1 / expansion)
        self.conv0 = parts.conv(channels, size, stride, "conv0", quantized=False)
        self.conv0_bn = parts.norm(channels, "conv0_bn")
        self.groups = []
        for g, (number, width) in enumerate(zip(blocks, widths, strict=True)):
            group = []
            for b in range(number):
                stride = 2 if g > 0 and b == 0 else 1
                project = b == 0 and (stride > 1 or count != width * expansion)
                block = ResidualBlock(
                    parts,
                    kind,
                    mode,
                    channels,
                    width,
                    place,
                    stride=stride,
                    project=project,
                    first=b == 0,
                    quantized_input=mode == "preact" and b == 0 and g > 0,
                    quantize_shortcut=mode == "preact" and project and quantize_first_shortcut,
                    groups=groups,
                    base_width=base_width,
                    stride_in=stride_in,
                    name=f"block{b}",
                )
                group.append(block)
                count, channels, place = width * expansion, block.channels, place + block.places
            bn_last = parts.norm(channels, "bn_last") if mode.startswith("preact") else None
            quant_last = parts.quantizer("quant_last") if mode == "preact" and g < len(blocks) - 1 else None
            self.groups.append(ResidualGroup(group, bn_last, quant_last, name=f"group{g}"))
        self.channels = channels

    def call(self, images: tf.Tensor, at: At | None = None, training: bool | None = None) -> dict[int, tf.Tensor]:
        x = tf.nn.relu(through([self.conv0, self.conv0_bn], images, at, training))
        stride, maps = 1, {}
        if self.imagenet:
            maps[2] = x
            stride = 4
            if self.symmetric:
                x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")  # after relu 0 is least
            else:
                x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        for number, group in enumerate(self.groups):
            x = group(x, at=at, training=training)
            maps[stride * 2**number] = x
        return maps


def _check_combination(blocks: list[int], widths: list[int], kind: str, groups: int, base_width: int, stride_in: str) -> None:
    if len(widths) != len(blocks):
        raise ValueError(f"`widths` must be {len(blocks)}, one per entry of `blocks`. Received: widths={widths}.")
    if kind == "basic" and (groups, base_width, stride_in) != (1, 64, "3x3"):
        received = f"groups={groups}, base_width={base_width}, stride_in={stride_in}"
        raise ValueError(
            f"`groups`, `base_width` and `stride_in` must be 1, 64 and 3x3 for basic blocks. Received: {received}."
        )
    if min(widths) * base_width < 64:
        least = -(-64 // min(widths))
        raise ValueError(f"`base_width` must be at least {least} for these widths. Received: base_width={base_width}.")
