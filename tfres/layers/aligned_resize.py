"""Bilinear resizing of feature maps with aligned corners."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def aligned_resize(x: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Bilinear resizing: pixel i of the output is taken at i (in - 1) / (out - 1) of the input; no antialiasing.

    The kernel computes in float32 (16-bit maps too); float64 maps stay float64, by matrices.

    Args:
        x: `(batch, height, width, channels)`.
        size: new height and width in pixels; the same size gives `x` itself.
    """
    height, width = x.shape[1:3]
    if (height, width) == tuple(size):
        return x
    if x.dtype == tf.float64 and None not in (height, width):
        rows, columns = _weights(height, size[0]), _weights(width, size[1])
        return tf.einsum("ah,bw,nhwc->nabc", tf.constant(rows), tf.constant(columns), x)
    resized = tf.raw_ops.ResizeBilinear(images=tf.cast(x, tf.float32), size=size, align_corners=True)
    return tf.cast(resized, x.dtype)


def _weights(before: int, after: int) -> np.ndarray:
    """How much of every input pixel an output pixel takes, float64 `(after, before)`."""
    places = np.arange(after) * ((before - 1) / (after - 1) if after > 1 else 0.0)
    low = np.minimum(np.floor(places).astype(int), before - 1)
    high = np.minimum(low + 1, before - 1)
    weights = np.zeros((after, before))
    np.add.at(weights, (np.arange(after), low), 1 - (places - low))
    np.add.at(weights, (np.arange(after), high), places - low)
    return weights
