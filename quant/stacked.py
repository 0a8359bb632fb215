"""Values of several settings in one variable, so that one graph serves them all."""

from __future__ import annotations

import tensorflow as tf

from quant.at import At, checked_at


def pick(stack: tf.Tensor | tf.Variable, at: At | None) -> tf.Tensor:
    """The entry of a setting, or a mixture of entries.

    Args:
        stack: `(settings, ...)`.
        at: `at.index` is the number of the entry; `at.shares` how much of each: [0, 0.75, 0.25] is three quarters of entry 1
            and a quarter of entry 2 (for a single share of 1 it is the entry, bit for bit). Neither is needed for a stack
            of one entry.

    Raises:
        ValueError: neither is given and there are several entries.
    """
    at = checked_at(at)
    if at.shares is not None:
        shares = tf.reshape(tf.cast(at.shares, stack.dtype), [-1] + [1] * (len(stack.shape) - 1))
        return tf.reduce_sum(shares * stack, axis=0)
    if at.index is None and stack.shape[0] != 1:
        raise ValueError(f"`at` must have an index or shares of {stack.shape[0]} settings. Received: at={at}.")
    return stack[0 if at.index is None else at.index]
