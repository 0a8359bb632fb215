"""How sure a classifier is of its answer."""

from __future__ import annotations

import numbers

import tensorflow as tf

from tfres.tasks.classification.losses import precise

SCORES = ("margin", "probability", "entropy")


def confidence(outputs: tf.Tensor, score: str, temperature: tf.Tensor | float = 1.0) -> tf.Tensor:
    """How sure the answers are, the larger the surer; with p the softmax of logits / temperature:

    - margin: ln of the largest p less ln of the second largest, which is the difference of the two logits / temperature: it
      is computed so and does not saturate where p rounds to 1;
    - probability: the largest p;
    - entropy: sum p ln p, minus the entropy in nats.

    Args:
        outputs: logits `(batch, classes)`.
        score: margin, probability or entropy.
        temperature: positive; a number or a scalar tensor.

    Returns:
        float32 `(batch,)`; not a number where a logit is infinite or not a number.

    Raises:
        ValueError: another score, a number that is no temperature, or the margin of a single class.
    """
    if score not in SCORES:
        raise ValueError(f"`score` must be one of {', '.join(SCORES)}. Received: score={score!r}.")
    if isinstance(temperature, numbers.Real) and not 0 < temperature < float("inf"):
        raise ValueError(f"`temperature` must be positive and finite. Received: temperature={temperature}.")
    logits = precise(outputs)
    if score == "margin" and logits.shape[-1] == 1:
        raise ValueError("`outputs` must be of two classes at least for the margin. Received: one class.")
    values = _values(logits, score, tf.cast(temperature, logits.dtype))
    finite = tf.reduce_all(tf.math.is_finite(logits), axis=-1)
    return tf.where(finite, tf.cast(values, tf.float32), float("nan"))


def _values(logits: tf.Tensor, score: str, temperature: tf.Tensor) -> tf.Tensor:
    if score == "margin":
        best = tf.math.top_k(logits, 2).values
        return (best[:, 0] - best[:, 1]) / temperature
    if score == "probability":
        return tf.reduce_max(tf.nn.softmax(logits / temperature), axis=-1)
    log_p = tf.nn.log_softmax(logits / temperature)
    return tf.reduce_sum(tf.math.multiply_no_nan(log_p, tf.exp(log_p)), axis=-1)
