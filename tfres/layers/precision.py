"""Dtype policies for a whole network."""

import contextlib

import tensorflow as tf


@contextlib.contextmanager
def dtype_policy(policy):
    """Layers made inside the block get this Keras dtype policy ("float32", "mixed_bfloat16", "float64", ...)."""
    outer = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(outer)
