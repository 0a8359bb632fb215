"""Seeds of stateless random numbers: streams that do not overlap, whatever seeds are chosen."""

from __future__ import annotations

import hashlib

import tensorflow as tf


def stream(seed: int, purpose: str) -> int:
    """A 64-bit number of its own for every seed and purpose, from a hash."""
    return int.from_bytes(hashlib.sha256(f"{purpose} {int(seed)}".encode()).digest()[:8], "big", signed=True)


def numbered(key: int, number: tf.Tensor | int) -> tf.Tensor:
    """Stateless seed, int64 `(2,)`, of the numbered thing of a stream: a pass, a step, a position."""
    return tf.stack([tf.constant(key, tf.int64), tf.cast(number, tf.int64)])
