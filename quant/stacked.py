"""Values of several settings in one variable, so that one graph serves them all."""

import tensorflow as tf


def pick(stack, setting):
    """The entry of a setting, or a mixture of entries.

    Args:
        stack: `(settings, ...)`.
        setting: number of the setting (integer or scalar integer tensor), or a float tensor `(settings,)` of shares:
            [0, 0.75, 0.25] is three quarters of entry 1 and a quarter of entry 2. For a single share of 1 it is the entry,
            bit for bit.
    """
    if not tf.is_tensor(setting) or not setting.dtype.is_floating:
        return stack[setting]
    shares = tf.reshape(tf.cast(setting, stack.dtype), [-1] + [1] * (len(stack.shape) - 1))
    return tf.reduce_sum(shares * stack, axis=0)
