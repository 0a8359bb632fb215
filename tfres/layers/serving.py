"""The served form of any layer: the form that an export runs, one graph for all settings.

A layer that has another form says so itself with two methods, `served_form(settings)` and, on what that returns, `assign`.
Low-bit layers also say what they are at their bits (`packed_kernel`), their served forms what they are as integers (`snap`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfres.layers.switchable_batch_norm import StackedBatchNorm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import tensorflow as tf

    from quant import At, PackedKernel, QuantConv2D
    from tfres.settings import Setting


def served_form(layer: tf.keras.layers.Layer, settings: Sequence[Setting]) -> tf.keras.layers.Layer:
    """An unbuilt layer of the same name that gives the layer's outputs for settings that are known by number.

    Args:
        layer: any Keras layer; one without a served form of its own is made anew from its configuration.
        settings: the settings of the served network in the order of their numbers.
    """
    own = getattr(layer, "served_form", None)
    return type(layer).from_config(layer.get_config()) if own is None else own(settings)


def arithmetic_form(layer: tf.keras.layers.Layer, settings: Sequence[Setting]) -> tf.keras.layers.Layer:
    """The same for engines that are quick at sums and products only, such as LiteRT: outputs are equal but for rounding.

    A served form that has another one for them says so itself with a method `arithmetic_form()`.
    """
    served = served_form(layer, settings)
    own = getattr(served, "arithmetic_form", None)
    return served if own is None else own()


def assign(copy: tf.keras.layers.Layer, layer: tf.keras.layers.Layer) -> None:
    """Give a served form the values of its layer; both are built."""
    own = getattr(copy, "assign", None)
    if own is None:
        copy.set_weights(layer.get_weights())
    else:
        own(layer)


def normalised(
    conv: QuantConv2D,
    norm: tf.keras.layers.Layer,
    inputs: tf.Tensor,
    activation: Callable[[tf.Tensor], tf.Tensor],
    training: bool | None = None,
    at: At | None = None,
) -> tf.Tensor:
    """activation(norm(conv(inputs))); a norm that is `folded` becomes part of the convolution.

    Args:
        conv: without an activation of its own.
        norm: of its outputs.
        inputs, training, at: as layers take them.
        activation: applied last.
    """
    if isinstance(norm, StackedBatchNorm) and norm.folded:
        return conv.scaled(inputs, *norm.scale_and_shift(at), activation)
    return activation(norm(conv(inputs, at=at, training=training), at=at, training=training))


def snap(copy: tf.keras.layers.Layer, layer: tf.keras.layers.Layer) -> bool:
    """Move the low-bit values of a served form, which has those of its layer, to the integer grid of `quant.grid`.

    Returns:
        whether there are any.
    """
    own = getattr(copy, "snap", None)
    return own is not None and own(layer)


def packed_kernel(layer: tf.keras.layers.Layer) -> PackedKernel | None:
    """The kernel of the layer's served form at its bits; None where it has none of fixed bits."""
    own = getattr(layer, "packed_kernel", None)
    return None if own is None else own()
