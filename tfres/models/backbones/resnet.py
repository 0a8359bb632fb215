"""Residual networks for ImageNet and CIFAR stems: PyTorch's layout, and the three arrangements of LQ-Nets."""

import tensorflow as tf

from tfres.models.backbones.parts import through

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
        width: channels of the inner convolutions.
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
        parts,
        kind,
        mode,
        width,
        stride,
        project,
        first,
        quantized_input,
        quantize_shortcut,
        groups=1,
        base_width=64,
        stride_in="3x3",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.preact = mode.startswith("preact")
        self.first = first
        self.stride = stride
        self.channels = width * _EXPANSION[kind]
        self.quantize_shortcut = quantize_shortcut
        if kind == "basic":
            shapes = [(width, 3, stride, 1, 1), (width, 3, 1, 1, 1)]
        else:
            inner = int(width * base_width / 64) * groups
            early, late = (stride, 1) if stride_in == "1x1" else (1, stride)
            share = inner / self.channels
            shapes = [(inner, 1, early, 1, share), (inner, 3, late, groups, share), (self.channels, 1, 1, 1, 1)]
        self.bn_preact = parts.norm("bn_preact") if self.preact and not first else None
        self.convs, self.norms, self.quantizers = [], [], []
        for i, (filters, kernel_size, strides, conv_groups, ratio) in enumerate(shapes, 1):
            zero_gamma = i == len(shapes) and mode == "resnet"
            self.convs.append(parts.conv(filters, kernel_size, strides, f"conv{i}", groups=conv_groups, ratio=ratio))
            self.norms.append(parts.norm(f"conv{i}_bn", "zeros" if zero_gamma else "ones"))
            quantize = self.preact and not (i == 1 and quantized_input)
            self.quantizers.append(parts.quantizer(f"quant{i}") if quantize else None)
        self.pad_shortcut = project and mode == "preact_typeA"
        self.projection = []
        if project and not self.pad_shortcut:
            conv = parts.conv(self.channels, 1, stride, "convshortcut")
            self.projection = [conv, parts.norm("convshortcut_bn")]

    def call(self, inputs, setting=None, training=None):
        x = inputs
        if self.bn_preact is not None:
            x = tf.nn.relu(through([self.bn_preact], x, setting, training))
        shortcut = inputs
        for i, layers in enumerate(zip(self.quantizers, self.convs, self.norms, strict=True)):
            x = through(layers[:1], x, setting, training)
            if i == 0 and self.quantize_shortcut:
                shortcut = x
            x = through(layers[1:], x, setting, training)
            if i + 1 < len(self.convs):
                x = tf.nn.relu(x)
        return x + self._shortcut(shortcut, setting, training)

    def _shortcut(self, x, setting, training):
        if not self.pad_shortcut:
            return through(self.projection, x, setting, training)
        if self.stride > 1:
            x = tf.nn.avg_pool2d(x, self.stride, self.stride, "SAME")
        return tf.pad(x, [[0, 0], [0, 0], [0, 0], [0, self.channels - x.shape[-1]]])


class ResidualGroup(tf.keras.layers.Layer):
    """Blocks of one width. Without `bn_last` a relu follows every block; with it the group ends norm -> relu -> quantizer."""

    def __init__(self, blocks, bn_last, quant_last, **kwargs):
        super().__init__(**kwargs)
        self.blocks = blocks
        self.bn_last = bn_last
        self.quant_last = quant_last

    def call(self, inputs, setting=None, training=None):
        if self.bn_last is None:
            x = inputs
            for block in self.blocks:
                x = tf.nn.relu(block(x, setting=setting, training=training))
            return x
        x = through([*self.blocks, self.bn_last], inputs, setting, training)
        return through([self.quant_last], tf.nn.relu(x), setting, training)


class ResNet(tf.keras.layers.Layer):
    """Stem, residual groups and global average pooling; images `(batch, side, side, 3)` to features `(batch, channels)`.

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

    `channels` is the number of features.

    Reference: RS-Nets code, both halves, and LQ-Nets code. preact_typeA also works with basic blocks, and pads where a
    side is odd before a stride, where the reference fails.
    """

    def __init__(
        self,
        parts,
        blocks,
        widths,
        kind,
        mode,
        stem,
        quantize_first_shortcut=False,
        groups=1,
        base_width=64,
        stride_in="3x3",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {', '.join(MODES)}. Received: mode={mode!r}.")
        if kind not in _EXPANSION:
            raise ValueError(f"`kind` must be one of {', '.join(_EXPANSION)}. Received: kind={kind!r}.")
        if stem not in ("imagenet", "cifar"):
            raise ValueError(f"`stem` must be imagenet or cifar. Received: stem={stem!r}.")
        if stride_in not in ("3x3", "1x1"):
            raise ValueError(f"`stride_in` must be 3x3 or 1x1. Received: stride_in={stride_in!r}.")
        self.pool = stem == "imagenet"
        self.symmetric = mode == "float"
        size, stride = (7, 2) if self.pool else (3, 1)
        self.conv0 = parts.conv(widths[0], size, stride, "conv0", quantized=False, ratio=1 / _EXPANSION[kind])
        self.conv0_bn = parts.norm("conv0_bn")
        self.groups = []
        channels = widths[0]
        for g, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            group = []
            for b in range(count):
                stride = 2 if g > 0 and b == 0 else 1
                project = b == 0 and (stride > 1 or channels != width * _EXPANSION[kind])
                group.append(
                    ResidualBlock(
                        parts,
                        kind,
                        mode,
                        width,
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
                )
                channels = width * _EXPANSION[kind]
            bn_last = parts.norm("bn_last") if mode.startswith("preact") else None
            quant_last = parts.quantizer("quant_last") if mode == "preact" and g < len(blocks) - 1 else None
            self.groups.append(ResidualGroup(group, bn_last, quant_last, name=f"group{g}"))
        self.channels = channels

    def call(self, inputs, setting=None, training=None):
        x = tf.nn.relu(through([self.conv0, self.conv0_bn], inputs, setting, training))
        if self.pool and self.symmetric:
            x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")  # after a relu 0 is the least
        elif self.pool:
            x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        x = through(self.groups, x, setting, training)
        return tf.reduce_mean(x, [1, 2])
