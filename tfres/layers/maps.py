"""Maps of features or logits at another size."""

from __future__ import annotations

import tensorflow as tf


def resized(maps: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor) -> tf.Tensor:
    """Maps at another size: bilinear, half-pixel centres, no antialiasing; computed in float32.

    Args:
        maps: `(batch, h, w, channels)`.
        height, width: numbers or scalar tensors; the same numbers give the maps themselves.
    """
    if isinstance(height, int) and isinstance(width, int) and (height, width) == tuple(maps.shape[1:3]):
        return maps
    size = tf.stack([height, width])
    return tf.cast(tf.raw_ops.ResizeBilinear(images=tf.cast(maps, tf.float32), size=size, half_pixel_centers=True), maps.dtype)


def sides_of(maps: tf.Tensor) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """Height and width of `(batch, height, width, ...)`, numbers where they are known."""
    height, width = (maps.shape[axis] or tf.shape(maps)[axis] for axis in (1, 2))
    return height, width
