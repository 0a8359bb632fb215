"""Cross entropy of pixels, plain and of the hard ones; divergences of two maps of logits."""

from __future__ import annotations

import tensorflow as tf

from tfres.layers.maps import resized, sides_of

FORMS = ("mse", "kl", "cross_entropy")


def precise(outputs: tf.Tensor) -> tf.Tensor:
    """Logits in float32."""
    return tf.cast(outputs, tf.float32)


def _pixels(labels: tf.Tensor, logits: tf.Tensor, ignore: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`(labels with 0 where they are ignored, which are not, -ln p of the label)`, each `(batch, height, width)`."""
    labels = tf.cast(labels, tf.int32)
    valid = tf.not_equal(labels, ignore)  # in graphs of TensorFlow 1 `!=` compares objects
    known = tf.where(valid, labels, 0)
    logits = resized(precise(logits), *sides_of(labels))
    return known, valid, tf.nn.sparse_softmax_cross_entropy_with_logits(known, logits)


def _weights(known: tf.Tensor, class_weights: list[float] | None) -> tf.Tensor:
    return tf.ones_like(known, tf.float32) if class_weights is None else tf.gather(tf.constant(class_weights), known)


def cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, ignore: int = 255, class_weights: list[float] | None = None
) -> tf.Tensor:
    """sum w (-ln p) / sum w over the pixels that are not ignored, w the weight of the pixel's class; 0 where there are none.

    Args:
        labels: int `(batch, height, width)`.
        logits: `(batch, h, w, classes)` of any size; resized to the labels' (see `tfres.layers.maps.resized`).
        ignore: label that does not count.
        class_weights: by class; None for 1 each.
    """
    known, valid, loss = _pixels(labels, logits, ignore)
    weights = tf.where(valid, _weights(known, class_weights), 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(weights * loss), tf.reduce_sum(weights))


def hard_cross_entropy(
    labels: tf.Tensor,
    logits: tf.Tensor,
    threshold: float,
    keep: int,
    ignore: int = 255,
    class_weights: list[float] | None = None,
) -> tf.Tensor:
    """Mean of w (-ln p) over the hard pixels ("online hard example mining"); 0 where there are none.

    With p the probability of a pixel's class, in ascending order over the n pixels that are not ignored, those with
    p < t are hard, t = max(p[min(keep, n - 1)], threshold): at least `keep` of them where there are more. The mean is not
    divided by the weights. No gradient flows through t.

    Args:
        labels, logits, ignore, class_weights: see `cross_entropy`.
        threshold: probability from which on a pixel is easy.
        keep: pixels that count at least.
    """
    known, valid, loss = _pixels(labels, logits, ignore)
    limit = _limit(tf.stop_gradient(tf.exp(-loss)), valid, threshold, keep)
    hard = valid & (tf.exp(-loss) < limit)
    summed = tf.reduce_sum(tf.where(hard, _weights(known, class_weights) * loss, 0.0))
    return tf.math.divide_no_nan(summed, tf.cast(tf.math.count_nonzero(hard), tf.float32))


def _limit(probabilities: tf.Tensor, valid: tf.Tensor, threshold: float, keep: int) -> tf.Tensor:
    """t of `hard_cross_entropy`; sorts only where it must."""
    p = tf.reshape(tf.where(valid, probabilities, 2.0), [-1])
    count = tf.math.count_nonzero(valid, dtype=tf.int32)
    place = tf.maximum(tf.minimum(keep, count - 1), 0)

    def sorted_place() -> tf.Tensor:
        largest = tf.reduce_max(tf.where(valid, probabilities, 0.0))
        value = tf.cond(place >= count - 1, lambda: largest, lambda: -tf.math.top_k(-p, place + 1).values[-1])
        return tf.maximum(value, threshold)

    below = tf.math.count_nonzero(p < threshold, dtype=tf.int32)  # if they reach beyond the place, so does the threshold
    return tf.cond(below > place, lambda: tf.constant(threshold), sorted_place)


def squared_difference(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """Mean over all elements of (student - teacher)^2, no gradient through the teacher."""
    return tf.reduce_mean(tf.math.squared_difference(student, _target(teacher, student)))


def kl_divergence(teacher: tf.Tensor, student: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Mean over pixels of sum p (ln p - ln q), p and q the softmax of logits / temperature; none through the teacher."""
    log_p = tf.nn.log_softmax(_target(teacher, student) / temperature)
    entropy = -tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * log_p, -1))
    return soft_cross_entropy(teacher, student, temperature) - entropy


def soft_cross_entropy(teacher: tf.Tensor, student: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Mean over pixels of -sum p ln q; see `kl_divergence`."""
    p = tf.nn.softmax(_target(teacher, student) / temperature)
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(p, student / temperature))


def _target(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """The teacher's map at the student's size, without a gradient."""
    return tf.stop_gradient(resized(teacher, *sides_of(student)))
