"""Augmentations of keras-cv, by recipe, on batches of the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfres.errors import DataError

MIXING = ("MixUp", "CutMix")

Augmentation = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def layers(specifications: list[dict[str, Any]], classes: int) -> list[Augmentation]:
    """Functions `(images, labels) -> (images, labels)` of what a recipe names.

    Args:
        specifications: list of mappings with `name` (of a layer in `keras_cv.layers`) and its arguments. Layers that want to
            know the values' range get `value_range` (0, 255). MixUp and CutMix turn labels into `(batch, classes)`.
        classes: number of classes.

    Raises:
        DataError: unknown name or arguments.
    """
    if not specifications:
        return []
    import inspect

    import keras_cv

    made = []
    for specification in specifications:
        arguments = dict(specification)
        name = arguments.pop("name")
        kind = getattr(keras_cv.layers, str(name), None)
        if kind is None:
            raise DataError(f"`augment` must name layers of keras_cv.layers. Received: name={name!r}.")
        if "value_range" in inspect.signature(kind).parameters:
            arguments.setdefault("value_range", (0, 255))
        try:
            layer = kind(**arguments)
        except (TypeError, ValueError) as error:
            raise DataError(f"`augment` arguments of {name} are wrong: {error}. Received: {specification}.") from error
        made.append(_mixed(layer, classes) if name in MIXING else _plain(layer))
    return made


def _plain(layer: tf.keras.layers.Layer) -> Augmentation:
    return lambda images, labels: (_to_uint8(layer(tf.cast(images, tf.float32), training=True)), labels)


def _mixed(layer: tf.keras.layers.Layer, classes: int) -> Augmentation:
    def mix(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if not labels.dtype.is_floating:
            labels = tf.one_hot(labels, classes)
        out = layer({"images": tf.cast(images, tf.float32), "labels": labels}, training=True)
        return _to_uint8(out["images"]), out["labels"]

    return mix


def _to_uint8(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(tf.cast(images, tf.float32)), 0, 255), tf.uint8)
