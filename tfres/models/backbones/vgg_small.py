"""VGG-small for CIFAR-10, as in LQ-Nets."""

import tensorflow as tf

from tfres.models.backbones.parts import through


class VGGSmall(tf.keras.layers.Layer):
    """Six 3x3 convolutions with a max pool after each pair; images `(batch, side, side, 3)` to `(batch, features)`.

    Every convolution but the first is quantized and preceded by the activation quantizer; norm and relu follow it (after
    the pool where there is one).

    Args:
        parts: layer factories.
        widths: channels of each pair (128, 256, 512).
        side: side in pixels of the features that are flattened: that of the largest resolution. Features of
            other resolutions are averaged over bins (as adaptive pooling does) to this side, so that all share one
            final layer; at the largest resolution nothing is averaged.
    """

    def __init__(self, parts, widths, side, **kwargs):
        super().__init__(**kwargs)
        self.side = side
        self.quantizers, self.convs, self.norms = [], [], []
        for i in range(2 * len(widths)):
            self.quantizers.append(parts.quantizer(f"quant{i}") if i else None)
            self.convs.append(parts.conv(widths[i // 2], 3, 1, f"conv{i}", quantized=i > 0))
            self.norms.append(parts.norm(f"conv{i}_bn"))

    def call(self, inputs, setting=None, training=None):
        x = inputs
        for i, (quantizer, conv, norm) in enumerate(zip(self.quantizers, self.convs, self.norms, strict=True)):
            x = through([quantizer, conv], x, setting, training)
            if i % 2:
                x = tf.nn.max_pool2d(x, 2, 2, "SAME")
            x = tf.nn.relu(through([norm], x, setting, training))
        if x.shape[1:3] != (self.side, self.side):
            rows, columns = (_bins(tf.shape(x)[axis], self.side, x.dtype) for axis in (1, 2))
            x = tf.einsum("ih,jw,bhwc->bijc", rows, columns, x)
        return tf.reshape(x, [-1, self.side * self.side * x.shape[-1]])


def _bins(size, count, dtype):
    """`(count, size)` weights: bin i averages positions floor(i*size/count) to ceil((i+1)*size/count)."""
    bins = tf.range(count)[:, None]
    start, end = bins * size // count, -(-(bins + 1) * size // count)
    position = tf.range(size)
    return tf.cast((position >= start) & (position < end), dtype) / tf.cast(end - start, dtype)
