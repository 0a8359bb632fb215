"""All resolutions of a batch, made on the accelerator from one uint8 crop."""

from __future__ import annotations

import contextlib
import contextvars
import numbers
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from quant import checks

Size = int | tuple[int, int]

RESIZES = ("nearest", "bilinear", "align_corners")
_IN_CODES = contextvars.ContextVar("filters in codes", default=False)
FLIPS = ("shared", "independent", "none")
# Principal components of ImageNet's RGB pixels in [0, 255]: eigenvalues and eigenvectors (rows: R, G, B).
_PCA_VALUES = (0.2175 * 255, 0.0188 * 255, 0.0045 * 255)
_PCA_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


@tf.keras.saving.register_keras_serializable(package="tfres")
class MultiResolutionCrop(tf.keras.layers.Layer):
    """Turns one uint8 crop per image into normalised float images at every resolution, inside the step.

    Per image, in training only: PCA lighting noise, a horizontal flip with probability 1/2. Then per resolution: resize,
    scale to [0, 1], subtract `mean`, divide by `std`, put channels in `channel_order`.

    Args:
        resolutions: sizes in pixels of the outputs, `(height, width)` or one side for a square (all alike); distinct.
        resize: "nearest" (source row = floor(i * size / resolution) in float32, the TensorFlow 1 rule that quantized
            RS-Nets use), "bilinear" (antialiased, Pillow-like) or "align_corners" (bilinear, corners aligned).
            At the input's own size the image is untouched.
        mean, std: per channel of [0, 1] images, in RGB order.
        channel_order: "rgb" or "bgr", the order in which the network wants its input.
        flip: "shared" (one draw per image), "independent" (one per image and resolution, as float RS-Nets do) or "none".
        lighting: standard deviation of the lighting noise in training (0.1 in the reference; 0 for none).

    Call arguments: `images` uint8 RGB `(batch, height, width, 3)`; `draws` float `(batch, self.draws)`, uniform in [0, 1),
    for the random part in training; `training`. Output: dict of each resolution as it was given -> float32
    `(batch, height, width, 3)`.
    """

    def __init__(
        self,
        resolutions: Sequence[Size],
        resize: str = "nearest",
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        channel_order: str = "rgb",
        flip: str = "shared",
        lighting: float = 0.0,
        **kwargs: object,
    ) -> None:
        resolutions = _checked_sizes(resolutions)
        resize, flip = checks.choice("resize", resize, RESIZES), checks.choice("flip", flip, FLIPS)
        mean = _three("mean", mean, "three finite numbers", lambda value: True)
        std = _three("std", std, "three positive numbers", lambda value: value > 0)
        channel_order = checks.choice("channel_order", channel_order, ("rgb", "bgr"))
        lighting = checks.number("lighting", lighting, "a number of at least 0", lambda value: value >= 0)
        super().__init__(**kwargs)
        self.resolutions = resolutions
        self.resize = resize
        self.mean = mean
        self.std = std
        self.channel_order = channel_order
        self.flip = flip
        self.lighting = lighting
        self._autocast = False

    def get_config(self) -> dict:
        names = ("resize", "channel_order", "flip", "lighting")
        lists = {"resolutions": list(self.resolutions), "mean": list(self.mean), "std": list(self.std)}
        return {**super().get_config(), **lists, **{name: getattr(self, name) for name in names}}

    @property
    def draws(self) -> int:
        """Random numbers per image that training uses: three for the lighting, one per resolution for the flip."""
        return 3 + len(self.resolutions)

    def call(self, images: tf.Tensor, draws: tf.Tensor | None = None, training: bool | None = None) -> dict[Size, tf.Tensor]:
        self._check(images, draws, training)
        if training and self.lighting:
            images = self._lit(images, draws[:, :3])
        mirrors = [None] * len(self.resolutions)
        if training and self.flip != "none":
            mirrors = tf.unstack(draws[:, 3:] < 0.5, axis=1)
            if self.flip == "shared":
                images, mirrors = _mirrored(images, mirrors[0]), [None] * len(mirrors)
        return {r: self.at(images, r, mirror) for r, mirror in zip(self.resolutions, mirrors, strict=True)}

    def _check(self, images: tf.Tensor, draws: tf.Tensor | None, training: bool | None) -> None:
        rank = images.shape.rank
        if rank is not None and (rank != 4 or images.shape[-1] not in (None, 3)):
            raise ValueError(f"`images` must be (batch, height, width, 3). Received: images.shape={images.shape}.")
        if training and (self.lighting or self.flip != "none") and draws is None:
            raise ValueError(f"`draws` must be (batch, {self.draws}) numbers in training. Received: draws=None.")
        if draws is not None and (len(draws.shape) != 2 or draws.shape[1] not in (None, self.draws)):
            raise ValueError(f"`draws` must be (batch, {self.draws}) numbers. Received: draws.shape={draws.shape}.")

    def at(self, images: tf.Tensor, resolution: Size, mirror: tf.Tensor | None = None) -> tf.Tensor:
        """One resolution of `images`, without the random part; `mirror` `(batch,)` tells which to flip."""
        return self.normalised(_resize(images, resolution, self.resize, mirror))

    def resized(self, images: tf.Tensor, resolution: Size) -> tf.Tensor:
        """uint8 `images` at one resolution, rounded to uint8."""
        return tf.cast(tf.round(tf.cast(_resize(images, resolution, self.resize, None), tf.float32)), tf.uint8)

    def normalised(self, images: tf.Tensor) -> tf.Tensor:
        """`images` `(batch, height, width, 3)` in [0, 255] as the network wants them, at their own size."""
        images = tf.cast(images, tf.float32) * (1 / (255 * np.array(self.std, "f")))
        if any(self.mean):
            images -= np.array(self.mean, "f") / np.array(self.std, "f")
        return images[..., ::-1] if self.channel_order == "bgr" else images

    def _lit(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        noise = self.lighting * tf.math.ndtri(tf.clip_by_value(draws, 1e-7, 1 - 1e-7)) * _PCA_VALUES
        noise = tf.einsum("bk,ck->bc", noise, tf.constant(_PCA_VECTORS))
        lit = tf.clip_by_value(tf.cast(images, tf.float32) + noise[:, None, None, :], 0, 255)
        return tf.cast(lit, images.dtype)


@contextlib.contextmanager
def filters_in_codes() -> Iterator[None]:
    """While this is entered, antialiased resizing is traced with weights of whole 255ths that come from integers alone.

    For converters that compute floats in 8 bits: places of pixels, rounded to such, would move by pixels.
    """
    before = _IN_CODES.set(True)
    try:
        yield
    finally:
        _IN_CODES.reset(before)


def _mirrored(images: tf.Tensor, mirror: tf.Tensor | None) -> tf.Tensor:
    if mirror is None:
        return images
    return tf.raw_ops.Select(condition=mirror, x=images[:, :, ::-1], y=images)  # picks whole images; `where` broadcasts


def _checked_sizes(resolutions: Sequence[Size]) -> list[Size]:
    allowed = "distinct positive integers, or all pairs of them (height, width)"
    if isinstance(resolutions, str) or not isinstance(resolutions, Sequence) or not resolutions:
        raise checks.wrong("resolutions", allowed, resolutions)
    try:
        pairs = [checks.pair("resolutions", resolution) for resolution in resolutions]
    except ValueError:
        raise checks.wrong("resolutions", allowed, resolutions) from None
    sides = {isinstance(given, numbers.Integral) for given in resolutions}
    if len(set(pairs)) < len(pairs) or len(sides) > 1:
        raise checks.wrong("resolutions", allowed, resolutions)
    return [height for height, _ in pairs] if sides == {True} else pairs


def _three(name: str, values: Sequence[float], allowed: str, holds: Callable[[float], bool]) -> list[float]:
    try:
        first, second, third = (checks.number(name, value, allowed, holds) for value in values)
    except (TypeError, ValueError):
        raise checks.wrong(name, allowed, values) from None
    return [first, second, third]


def _resize(images: tf.Tensor, resolution: Size, method: str, mirror: tf.Tensor | None) -> tf.Tensor:
    high, wide = size = checks.pair("resolution", resolution)
    if images.shape[1] == high and images.shape[2] == wide:
        return _mirrored(images, mirror)
    if method == "nearest":
        return _mirrored(tf.raw_ops.ResizeNearestNeighbor(images=images, size=size), mirror)
    if method == "align_corners":
        return _mirrored(tf.raw_ops.ResizeBilinear(images=images, size=size, align_corners=True), mirror)
    height, width, channels = tf.shape(images)[1], tf.shape(images)[2], images.shape[3]
    rows, columns = _triangle_filter(height, high)[None], _triangle_filter(width, wide)[None]
    if mirror is not None:  # costs nothing here
        columns = tf.where(mirror[:, None, None], columns[:, ::-1], columns)
    x = tf.matmul(rows, tf.reshape(tf.cast(images, tf.float32), [-1, height, width * channels]))
    x = tf.transpose(tf.reshape(x, [-1, high, width, channels]), [0, 2, 1, 3])
    x = tf.matmul(columns, tf.reshape(x, [-1, width, high * channels]))
    return tf.transpose(tf.reshape(x, [-1, wide, high, channels]), [0, 2, 1, 3])


def _triangle_filter(size: tf.Tensor, target: int) -> tf.Tensor:
    """`(target, size)` weights of antialiased bilinear resizing along one axis.

    Matrix products run on every accelerator; `tf.image.resize(antialias=True)`, which gives the same to 0.01 grey levels, has
    a kernel for processors only.
    """
    if _IN_CODES.get():
        places, taps = (2 * tf.range(target) + 1) * size, (2 * tf.range(size) + 1) * target
        offsets = taps - places[:, None]
        weights = tf.maximum(2 * tf.maximum(size, target) - tf.maximum(offsets, -offsets), 0)
        total = tf.reduce_sum(weights, 1, keepdims=True)
        return tf.cast((255 * weights + total // 2) // total, tf.float32) / 255
    scale = tf.cast(size, tf.float32) / target
    centres = (tf.range(target, dtype=tf.float32) + 0.5) * scale
    distance = tf.abs(tf.cast(tf.range(size), tf.float32) + 0.5 - centres[:, None])
    weights = tf.maximum(1 - distance / tf.maximum(scale, 1.0), 0)
    return weights / tf.reduce_sum(weights, 1, keepdims=True)
