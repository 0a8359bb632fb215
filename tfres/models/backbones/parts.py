"""How a family makes the layers of a shared skeleton."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Parts:
    """Factories that a family hands to a backbone; every layer they make is called `layer(x, setting, training)`.

    Args:
        conv: `(filters, kernel_size, strides, name, quantized=True, groups=1, ratio=1) -> layer`, no bias.
        depthwise: `(kernel_size, strides, name) -> layer`, one kernel per channel, no bias.
        norm: `(name, gamma_initializer="ones") -> layer`, for as many channels as the convolution made last before it has
            (a depthwise one keeps the number).
        quantizer: `(name) -> layer`, or None where activations stay float.

    `ratio` says how a network that runs at several widths rounds the number of channels (see
    `tfres.layers.slim_channels`); None: the number is the same at every width.
    """

    conv: Callable
    depthwise: Callable
    norm: Callable
    quantizer: Callable


def through(layers, x, setting, training):
    """`x` through the layers in order; None stands for the identity."""
    for layer in layers:
        if layer is not None:
            x = layer(x, setting=setting, training=training)
    return x
