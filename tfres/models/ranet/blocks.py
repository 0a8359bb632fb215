"""What a RANet is made of: stem, dense and fusion blocks, heads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.layers.aligned_resize import aligned_resize
from tfres.layers.serving import normalised
from tfres.models.backbones import Parts

if TYPE_CHECKING:
    from tfres.models.ranet.layout import Block

# Features of a block that the sub-network above takes: those behind its last layer, and where that one halves the map those
# before it too. The features behind any layer are leading channels of these.
Kept = tuple[tf.Tensor, ...]


class Unit(tf.keras.layers.Layer):
    """Convolution, batch norm, ReLU; the input quantized where the parts say so.

    Args:
        parts: `Parts`.
        channels, kernel_size, strides: of the convolution.
        first: the first convolution of the network, which stays float.
        options: further arguments of the convolution.
    """

    def __init__(
        self, parts: Parts, channels: int, kernel_size: int, strides: int, name: str, first: bool = False, **options: Any
    ) -> None:
        super().__init__(name=name)
        self.quantizer = None if first else parts.quantizer("quant")
        self.conv = parts.conv(channels, kernel_size, strides, name="conv", quantized=not first, **options)
        self.norm = parts.norm(channels, name="norm")

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if self.quantizer is not None:
            x = self.quantizer(x, training=training)
        return normalised(self.conv, self.norm, x, tf.nn.relu, training)


class Bottleneck(tf.keras.layers.Layer):
    """A 1x1 unit, then a 3x3 unit.

    Args:
        parts: `Parts`.
        inputs, channels: of input and output.
        factor: the inner channels are `channels` times this, at most `inputs`.
        strides: of the 3x3 convolution.
    """

    def __init__(self, parts: Parts, inputs: int, channels: int, factor: int, strides: int, name: str) -> None:
        super().__init__(name=name)
        self.unit1 = Unit(parts, min(inputs, factor * channels), 1, 1, "unit1")
        self.unit2 = Unit(parts, channels, 3, strides, "unit2")

    def call(self, x: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        return self.unit2(self.unit1(x, training=training), training=training)


class DenseBlock(tf.keras.layers.Layer):
    """Layers that each add channels to what they get, and a transition where the layout has one.

    A fusion block also takes the features of the same block of the sub-network below, layer by layer, brought to its size; its
    last layer may halve the map.

    Args:
        parts: `Parts`.
        block: what the layout says of it.
        below: the same of the block below; None in a dense block.

    Call arguments: the input, what the block below kept, `training`. Output: features and what is kept for the sub-network
    above.
    """

    def __init__(self, parts: Parts, block: Block, below: Block | None, name: str) -> None:
        super().__init__(name=name)
        self.block, self.below = block, below
        self.own, self.lower, self.last, self.transition = [], [], None, None
        for layer in range(1, block.layers + 1):
            inputs, strides = block.width(layer - 1), 2 if block.down and layer == block.layers else 1
            own = block.growth - (block.fused or 0)
            if block.fused:
                below_inputs = below.width(layer - 1)
                factor = block.lower_bottleneck
                self.lower.append(Bottleneck(parts, below_inputs, block.fused, factor, 1, f"layer{layer}_lower"))
            self.own.append(Bottleneck(parts, inputs, own, block.bottleneck, strides, f"layer{layer}_own"))
        if block.last:
            self.last = Unit(parts, block.last, 1, 1, "last")
        if block.transition is not None:
            self.transition = Unit(parts, block.transition, 1, 1, "transition")

    def call(self, x: tf.Tensor, below: Kept = (), training: bool | None = None) -> tuple[tf.Tensor, Kept]:
        features = x
        for layer, own in enumerate(self.own, 1):
            before = features
            new = own(features, training=training)
            size = tuple(new.shape[1:3])
            parts = [aligned_resize(features, size)]
            if self.lower:
                lower = self.lower[layer - 1](features_behind(self.below, below, layer - 1), training=training)
                parts.append(aligned_resize(lower, size))
            features = tf.concat([*parts, new], -1)
        kept = (features, before) if self.block.down else (features,)
        outputs = features
        if self.last is not None:
            last = self.last(features_behind(self.below, below, self.block.layers), training=training)
            outputs = tf.concat([features, aligned_resize(last, tuple(features.shape[1:3]))], -1)
        if self.transition is not None:
            outputs = self.transition(outputs, training=training)
        return outputs, kept


def features_behind(block: Block, kept: Kept, layer: int) -> tf.Tensor:
    """The features behind a layer of a block, from what is kept of it."""
    whole = kept[1] if block.down and layer < block.layers else kept[0]
    width = block.width(layer)
    # (a slice of this kind has the quicker gradient)
    return whole if width == whole.shape[-1] else tf.slice(whole, [0, 0, 0, 0], [-1, -1, -1, width])


class Stem(tf.keras.layers.Layer):
    """Base features of all sub-networks, made from the finest to the coarsest.

    Args:
        parts: `Parts`.
        kind: "imagenet" or "cifar".
        widths: channels of the base features, the finest first.
        strides: of the layers, the first one 1.
        uniform: initial values are U(+-1/sqrt(inputs)) as PyTorch's, otherwise those of all other convolutions.

    Output: list of base features, the finest first.
    """

    def __init__(self, parts: Parts, kind: str, widths: list[int], strides: list[int], uniform: bool, name: str) -> None:
        super().__init__(name=name)
        self.pooled = kind == "imagenet"
        kernel_size, stride = (7, 2) if self.pooled else (3, 1)
        first = _uniform(3 * kernel_size**2) if uniform else {}
        if self.pooled:  # the bias has an initializer of its own: one that is called twice gives the same numbers
            first |= {"use_bias": True, **(_uniform(3 * kernel_size**2, "bias") if uniform else {})}
        self.units = [Unit(parts, widths[0], kernel_size, stride, "unit1", first=True, **first)]
        for number, (inputs, width, stride) in enumerate(zip(widths, widths[1:], strides[1:], strict=False), 2):
            initial = _uniform(9 * inputs) if uniform else {}
            self.units.append(Unit(parts, width, 3, stride, f"unit{number}", **initial))

    def call(self, images: tf.Tensor, training: bool | None = None) -> list[tf.Tensor]:
        bases, x = [], images
        for number, unit in enumerate(self.units):
            x = unit(x, training=training)
            if number == 0 and self.pooled:  # after a ReLU zeros at the border change nothing
                x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
            bases.append(x)
        return bases


def _uniform(inputs: int, name: str = "kernel") -> dict[str, Any]:
    """Initial values between -1/sqrt(inputs) and 1/sqrt(inputs)."""
    limit = 1 / math.sqrt(inputs)
    return {f"{name}_initializer": tf.keras.initializers.RandomUniform(-limit, limit)}


class Head(tf.keras.layers.Layer):
    """Two halving 3x3 units, the mean over the map, the final layer.

    The reference pools 2x2 to one pixel, which is the mean for the maps of 5 to 8 pixels that it is made for.

    Args:
        parts: `Parts`.
        channels: of the units.
        final: makes the final layer from the number of its inputs.
        further: outputs of the head before, in a cascade.

    Call arguments: features, outputs of the head before or None, `training`.
    """

    def __init__(
        self, parts: Parts, channels: int, final: Callable[[int], tf.keras.layers.Layer], further: int, name: str
    ) -> None:
        super().__init__(name=name)
        self.unit1 = Unit(parts, channels, 3, 2, "unit1")
        self.unit2 = Unit(parts, channels, 3, 2, "unit2")
        self.linear = final(channels + further)
        self.cascaded = further > 0

    def call(self, x: tf.Tensor, before: tf.Tensor | None = None, training: bool | None = None) -> tf.Tensor:
        x = self.unit2(self.unit1(x, training=training), training=training)
        pooled = tf.reduce_mean(x, [1, 2])
        if self.cascaded:
            pooled = tf.concat([pooled, tf.cast(tf.stop_gradient(before), pooled.dtype)], -1)
        return self.linear(pooled)
