"""A strategy of two replicas on one processor, see `tests/conftest.py`."""

import functools

import tensorflow as tf


@functools.cache
def two_replicas():
    """`MirroredStrategy` over the two logical devices."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice())
