"""Cross entropy, divergences of two classifiers, label smoothing."""

from __future__ import annotations

import tensorflow as tf

FORMS = ("kl", "cross_entropy")


def precise(outputs: tf.Tensor) -> tf.Tensor:
    """Logits as losses take them: float64 stays, everything else becomes float32."""
    outputs = tf.convert_to_tensor(outputs)
    return outputs if outputs.dtype == tf.float64 else tf.cast(outputs, tf.float32)


def cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean cross entropy of the batch, natural logarithm; targets int `(batch,)` or float `(batch, classes)`."""
    if targets.dtype.is_floating:
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.cast(targets, logits.dtype), logits))
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))


def soft_cross_entropy(teacher: tf.Tensor, student: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Mean over the batch of -sum p ln q, p and q the softmax of logits / temperature; no gradient through the teacher."""
    targets = tf.stop_gradient(tf.nn.softmax(teacher / temperature))
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, student / temperature))


def kl_divergence(teacher: tf.Tensor, student: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Mean over the batch of sum p (ln p - ln q), natural logarithms; no gradient through the teacher."""
    log_targets = tf.stop_gradient(tf.nn.log_softmax(teacher / temperature))
    entropy = -tf.reduce_mean(tf.reduce_sum(tf.exp(log_targets) * log_targets, -1))
    return soft_cross_entropy(teacher, student, temperature) - entropy


def smoothed(targets: tf.Tensor, share: float, classes: int, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """(1 - share) * one-hot target + share / classes, `(batch, classes)`; targets may be float `(batch, classes)` already."""
    targets = tf.convert_to_tensor(targets)
    targets = tf.cast(targets, dtype) if targets.dtype.is_floating else tf.one_hot(targets, classes, dtype=dtype)
    return (1 - share) * targets + share / classes
