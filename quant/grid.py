"""The "max" integer grid: low-bit values moved to where a runtime's integers are exact.

    values -> round(values / s) * s, s = top / steps

Per output channel of a kernel top = max |k| and steps = 127 (int8); for the levels of activations top is the highest one and
steps = 255 (uint8). A runtime that derives its scale from the largest value finds just these codes again. No value moves by
more than s / 2; what lies on the grid stays, bit for bit, and so does the top. Computed in float64.
"""

from __future__ import annotations

import tensorflow as tf

KERNEL_STEPS, LEVEL_STEPS = 127, 255


def kernel_on_grid(kernel: tf.Tensor, channels: int) -> tf.Tensor:
    """A kernel on the int8 grid of each output channel.

    Args:
        kernel: its last axes together are the output channels.
        channels: how many these are.
    """
    kernel = tf.convert_to_tensor(kernel)
    rows = tf.cast(tf.reshape(kernel, [-1, channels]), tf.float64)
    moved = _on_grid(rows, tf.reduce_max(tf.abs(rows), axis=0), KERNEL_STEPS)
    return tf.cast(tf.reshape(moved, tf.shape(kernel)), kernel.dtype)


def levels_on_grid(levels: tf.Tensor) -> tf.Tensor:
    """Levels of activations, `(sets, levels)` in ascending order, each set on the uint8 grid of its highest one.

    (A level below 0, of a basis with a negative entry, has a negative code.)
    """
    levels = tf.convert_to_tensor(levels)
    exact = tf.cast(levels, tf.float64)
    return tf.cast(_on_grid(exact, exact[:, -1:], LEVEL_STEPS), levels.dtype)


def _on_grid(values: tf.Tensor, top: tf.Tensor, steps: int) -> tf.Tensor:
    step = top / steps
    return tf.round(tf.math.divide_no_nan(values, step)) * step
