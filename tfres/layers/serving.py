"""The served form of any layer: the form that an export runs, one graph for all settings.

A layer that has another form says so itself with two methods, `served_form(settings)` and, on what that returns, `assign`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tensorflow as tf

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
