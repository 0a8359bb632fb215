"""Losses over heatmaps."""

from __future__ import annotations

import tensorflow as tf


def heatmap_loss(outputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor | None = None, hardest: int = 0) -> tf.Tensor:
    """Half the mean squared difference, per joint over pixels and batch, then the mean over joints.

        (1/J) sum_j 0.5 mean_{b,p} (w_bj (z_bpj - y_bpj))^2

    Args:
        outputs, targets: `(batch, height, width, joints)`.
        weights: `(batch, joints)`; None for 1.
        hardest: per picture only so many joints with the largest loss count, the mean is over these; 0 for all.
    """
    difference = outputs - tf.cast(targets, outputs.dtype)
    if weights is not None:
        difference *= tf.cast(weights, outputs.dtype)[:, None, None, :]
    by_joint = 0.5 * tf.reduce_mean(tf.square(difference), [1, 2])
    return tf.reduce_mean(tf.math.top_k(by_joint, hardest).values if hardest else by_joint)


def squared_distance(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """Mean over all elements of (student - teacher)^2; no gradient through the teacher."""
    return tf.reduce_mean(tf.square(student - tf.stop_gradient(tf.cast(teacher, student.dtype))))
