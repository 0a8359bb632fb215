"""The served form of any layer: the form that an export runs, one graph for all settings.

A layer that has another form says so itself with two methods, `served_form(settings)` and, on what that returns, `assign`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfres.layers.switchable_batch_norm import StackedBatchNorm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import tensorflow as tf

    from quant import QuantConv2D
    from tfres.settings import Setting


def served_form(layer: tf.keras.layers.Layer, settings: Sequence[Setting]) -> tf.keras.layers.Layer:
    """An unbuilt layer of the same name that gives the layer's outputs for settings that are known by number.

    Args:
        layer: any Keras layer; one without a served form of its own is made anew from its configuration.
        settings: the settings of the served network in the order of their numbers.
    """
    own = getattr(layer, "served_form", None)
    return type(layer).from_config(layer.get_config()) if own is None else own(settings)


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
) -> tf.Tensor:
    """activation(norm(conv(inputs))); in a served network of one setting the norm becomes part of the convolution.

    Args:
        conv: without an activation of its own.
        norm: of its outputs.
        inputs, training: as layers take them.
        activation: applied last.
    """
    if isinstance(norm, StackedBatchNorm) and norm.built and len(norm.settings) == 1:
        return conv.scaled(inputs, *norm.scale_and_shift(), activation)
    return activation(norm(conv(inputs, training=training), training=training))
