"""The quantizer as `lqnet.md` writes it, word by word: a tensor of codes, one `where` per level, matrix products.

Slow and large on purpose; the tests compare the library with it and `make bench-quant` times it.
"""

import tensorflow as tf

from quant import lq


def activation_training_call(x, basis):
    """Output and least-squares basis of one training call, written out literally.

    Args:
        x: activations, any shape.
        basis: `(K, 1)`.

    Returns:
        `(y like x, v* (K, 1))`.
    """
    bits = basis.shape[0]
    table = tf.constant(lq.codes(bits, signed=False), x.dtype)
    levels = tf.linalg.matmul(table, basis)[:, 0]
    descending, order = tf.math.top_k(levels, k=2**bits)
    levels, order = descending[::-1], order[::-1]
    thresholds = 0.5 * levels[:-1] + 0.5 * levels[1:]
    values = tf.reshape(x, [-1])
    y = tf.zeros_like(values) + levels[0]
    code = tf.zeros([tf.size(values), bits], x.dtype) + tf.gather(table, order[0])
    for i in range(2**bits - 1):
        above = values > thresholds[i]
        y = tf.where(above, tf.zeros_like(values) + levels[i + 1], y)
        row = tf.zeros([tf.size(values), bits], x.dtype) + tf.gather(table, order[i + 1])
        code = tf.where(tf.broadcast_to(above[:, None], tf.shape(code)), row, code)
    gram = tf.linalg.matmul(code, code, transpose_a=True)
    moment = tf.linalg.matmul(code, values[:, None], transpose_a=True)
    return tf.reshape(y, tf.shape(x)), tf.linalg.matmul(tf.linalg.inv(gram), moment)
