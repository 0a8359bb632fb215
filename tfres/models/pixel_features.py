"""Features of every pixel from the maps of any backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.layers.maps import resized, sides_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quant.at import At
    from tfres.models.backbones import Parts

FINEST = 4  # stride from which on maps are used where nothing else is said


class PixelFeatures(tf.keras.layers.Layer):
    """relu(norm(sum over strides s of resized(conv_s(map_s)))), 1x1 convolutions, all at the size of the finest map used.

    This is HRNet's head, a 1x1 convolution of all maps resized and concatenated: the two commute, and so the convolution runs
    at each map's own size. With the coarsest stride alone it is that of a fully convolutional network. Resizing is bilinear
    with half-pixel centres.

    Args:
        parts: layer factories of the backbone's family.
        channels: of the features.
        strides: of the maps used; None for all from 4 on, or the coarsest.

    Call arguments: `maps`, as a backbone gives them, `at`, `training`. Output `(batch, height, width, channels)`.

    Raises:
        ValueError: a stride that the backbone does not have.
    """

    def __init__(self, parts: Parts, channels: int, strides: Sequence[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = parts.channels(channels, None, ratio=None)
        self.strides = None if strides is None else sorted(strides)
        self._parts = parts

    def build(self, input_shape: Any) -> None:
        known = sorted(int(stride) for stride in input_shape)
        usual = [stride for stride in known if stride >= FINEST] or known[-1:]
        strides = usual if self.strides is None else self.strides
        wrong = sorted({*strides} - {*known})
        if wrong:
            raise ValueError(f"`head_strides` must be among {', '.join(map(str, known))}. Received: head_strides={wrong}.")
        convs = {stride: self._parts.conv(self.channels, 1, 1, f"conv{stride}", quantized=False) for stride in strides}
        self.norm = self._parts.norm(self.channels, "bn")
        self.convs = {str(stride): conv for stride, conv in convs.items()}
        super().build(input_shape)

    def call(self, maps: dict[int, tf.Tensor], at: At | None = None, training: bool | None = None) -> tf.Tensor:
        maps = {str(stride): x for stride, x in maps.items()}
        height, width = sides_of(maps[next(iter(self.convs))])
        total = [resized(conv(maps[stride], at=at, training=training), height, width) for stride, conv in self.convs.items()]
        return tf.nn.relu(self.norm(tf.add_n(total), at=at, training=training))
