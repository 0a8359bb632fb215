"""The arithmetic of batch norms. Variances are means of squared deviations, never E[x^2] - E[x]^2."""

from __future__ import annotations

import tensorflow as tf


def normalise(
    inputs: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    epsilon: float,
    mean: tf.Tensor | None = None,
    variance: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalised inputs and the statistics used; with no `mean` those of the batch (variance unbiased)."""
    training = mean is None
    if inputs.dtype != tf.float64:
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=tf.zeros([0]) if training else mean,
            variance=tf.zeros([0]) if training else variance,
            epsilon=epsilon,
            exponential_avg_factor=1.0,
            is_training=training,
        )
        return outputs, mean, variance
    if not training:
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, epsilon), mean, variance
    mean, variance = tf.nn.moments(inputs, [0, 1, 2])
    outputs = tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, epsilon)
    return outputs, mean, _unbiased(variance, tf.size(inputs) // tf.size(mean))


def normalise_synchronised(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """As `normalise` in training, with the moments of the batch over all replicas (differentiable)."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return normalise(inputs, gamma, beta, epsilon)
    x = tf.cast(inputs, gamma.dtype)
    count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    total, count = context.all_reduce(tf.distribute.ReduceOp.SUM, [tf.reduce_sum(x, [0, 1, 2]), count])
    mean = total / count
    deviation = x - mean
    squares = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(tf.square(deviation), [0, 1, 2]))
    variance = squares / count
    outputs = deviation * (gamma * tf.math.rsqrt(variance + epsilon)) + beta
    return tf.cast(outputs, inputs.dtype), mean, _unbiased(variance, count)


def _unbiased(variance: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    count = tf.cast(count, variance.dtype)
    return variance * count / tf.maximum(count - 1, 1)
