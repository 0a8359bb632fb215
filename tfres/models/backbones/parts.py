"""How a family makes the layers of a shared skeleton, and what all skeletons have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import tensorflow as tf

from quant import checks

if TYPE_CHECKING:
    from quant.at import At

Channels: TypeAlias = Any  # what `Parts.channels` returns; the backbones only pass it on


@dataclasses.dataclass(frozen=True)
class Parts:
    """Factories that a family hands to a backbone; every layer they make is called `layer(x, at=at, training=training)`.

    Args:
        channels: `(count, place, ratio=1) -> channels`, the outputs of a convolution: `count`, or whatever the family's layers
            take where the number differs between settings. `place` is the number of the convolution in its backbone; all but
            depthwise ones count, a block's shortcut behind its other convolutions. `ratio` says how a network that runs at
            several widths rounds (see `tfres.layers.slim_channels`); None: the number is the same at every width.
        conv: `(channels, kernel_size, strides, name, quantized=True, groups=1) -> layer`, no bias.
        depthwise: `(channels, kernel_size, strides, name) -> layer`, one kernel per channel, no bias.
        norm: `(channels, name, gamma_initializer="ones") -> layer`.
        quantizer: `(name) -> layer`, or None where activations stay float.
    """

    channels: Callable[..., Channels]
    conv: Callable[..., tf.keras.layers.Layer]
    depthwise: Callable[..., tf.keras.layers.Layer]
    norm: Callable[..., tf.keras.layers.Layer]
    quantizer: Callable[[str], tf.keras.layers.Layer | None]


class Backbone(tf.keras.layers.Layer):
    """A network without its last layer: images `(batch, height, width, 3)` to a dict of feature maps by stride.

    The stride is that of a feature pixel in pixels of the image. There is one map per stride, the deepest, in ascending order;
    the last one has seen every layer.

    Call arguments: `images`, `at` (a `quant.at.At`; None: the only setting there is), `training`.

    `channels` are those of `pool`'s features, as `Parts.channels` made them.
    """

    def pool(self, maps: dict[int, tf.Tensor]) -> tf.Tensor:
        """Features `(batch, channels)` for a classifier: the mean over the last map."""
        return tf.reduce_mean(maps[max(maps)], [1, 2])


def through(
    layers: Iterable[tf.keras.layers.Layer | None], x: tf.Tensor, at: At | None = None, training: bool | None = None
) -> tf.Tensor:
    """`x` through the layers in order; None stands for the identity."""
    for layer in layers:
        if layer is not None:
            x = layer(x, at=at, training=training)
    return x


def whole_numbers(name: str, values: object) -> list[int]:
    """`values`, the argument called `name`, as a list of positive integers.

    Raises:
        ValueError: it is no sequence of such, or empty.
    """
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)) or not values:
        raise checks.wrong(name, "a list of positive integers", values)
    try:
        return [checks.whole(name, value) for value in values]
    except ValueError:
        raise checks.wrong(name, "a list of positive integers", values) from None
