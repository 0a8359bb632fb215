"""VGG-small for CIFAR-10, as in LQ-Nets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from quant import checks
from tfres.models.backbones.parts import Backbone, Parts, through, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.at import At


class VGGSmall(Backbone):
    """Pairs of 3x3 convolutions with a max pool after each; feature maps of strides 1, 2, 4, 8.

    Every convolution but the first is quantized and preceded by the activation quantizer; norm and relu follow it (after
    the pool where there is one).

    Args:
        parts: layer factories.
        widths: channels of each pair (128, 256, 512).
        resolution: the largest, in pixels; its last feature map is flattened as it is. Those of other resolutions are
            averaged over bins (as adaptive pooling does) to the same side, so that all share one final layer.

    Reference: LQ-Nets code.
    """

    def __init__(self, parts: Parts, widths: Sequence[int], resolution: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        widths = whole_numbers("widths", widths)
        self.side = -(-checks.whole("resolution", resolution) // 2 ** len(widths))
        self.quantizers, self.convs, self.norms = [], [], []
        for i in range(2 * len(widths)):
            channels = parts.channels(widths[i // 2], i)
            self.quantizers.append(parts.quantizer(f"quant{i}") if i else None)
            self.convs.append(parts.conv(channels, 3, 1, f"conv{i}", quantized=i > 0))
            self.norms.append(parts.norm(channels, f"conv{i}_bn"))
        self.channels = self.side**2 * widths[-1]

    def call(self, images: tf.Tensor, at: At | None = None, training: bool | None = None) -> dict[int, tf.Tensor]:
        x, stride, maps = images, 1, {}
        for i, (quantizer, conv, norm) in enumerate(zip(self.quantizers, self.convs, self.norms, strict=True)):
            x = through([quantizer, conv], x, at, training)
            if i % 2:
                x, stride = tf.nn.max_pool2d(x, 2, 2, "SAME"), 2 * stride
            maps[stride] = x = tf.nn.relu(through([norm], x, at, training))
        return maps

    def pool(self, maps: dict[int, tf.Tensor]) -> tf.Tensor:
        """Features `(batch, channels)` for a classifier: the last map at the side of the largest resolution, flattened."""
        x = maps[max(maps)]
        if x.shape[1:3] != (self.side, self.side):
            rows, columns = (_bins(tf.shape(x)[axis], self.side, x.dtype) for axis in (1, 2))
            x = tf.einsum("ih,jw,bhwc->bijc", rows, columns, x)
        return tf.reshape(x, [-1, self.side * self.side * x.shape[-1]])


def _bins(size: tf.Tensor, count: int, dtype: tf.DType) -> tf.Tensor:
    """`(count, size)` weights: bin i averages positions floor(i*size/count) to ceil((i+1)*size/count)."""
    bins = tf.range(count)[:, None]
    start, end = bins * size // count, -(-(bins + 1) * size // count)
    position = tf.range(size)
    return tf.cast((position >= start) & (position < end), dtype) / tf.cast(end - start, dtype)
