"""Dtype policies for a whole network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def dtype_policy(policy: str | tf.keras.mixed_precision.Policy) -> Iterator[None]:
    """Layers made inside the block get this Keras dtype policy ("float32", "mixed_bfloat16", "float64", ...)."""
    outer = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(outer)
