"""Initial values of kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from quant import checks


@tf.keras.saving.register_keras_serializable(package="tfres")
class FanOutNormal(tf.keras.initializers.Initializer):
    """Kernels from N(0, 2 / (kernel_size^2 channels)), not truncated; channels are those of the output.

    A depthwise kernel `(kernel_size, kernel_size, channels, 1)` counts all its channels, as the references do. (Of a
    convolution the first dimensions are the same, so `depthwise` says which it is.)
    """

    def __init__(self, depthwise: bool = False) -> None:
        self.depthwise = checks.flag("depthwise", depthwise)

    def get_config(self) -> dict:
        return {"depthwise": self.depthwise}

    def __call__(self, shape: Sequence[int], dtype: tf.DType | None = None, **kwargs: object) -> tf.Tensor:
        channels = shape[-2] * shape[-1] if self.depthwise else shape[-1]
        normal = tf.keras.initializers.RandomNormal(stddev=math.sqrt(2 / (shape[0] * shape[1] * channels)))
        return normal(shape, dtype, **kwargs)
