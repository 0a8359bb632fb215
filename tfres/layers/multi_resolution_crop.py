"""All resolutions of a batch, made on the accelerator from one uint8 crop."""

import numpy as np
import tensorflow as tf

RESIZES = ("nearest", "bilinear", "align_corners")
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
        resolutions: sides in pixels of the outputs.
        resize: "nearest" (source row = floor(i * size / resolution) in float32, the TensorFlow 1 rule that quantized
            RS-Nets use), "bilinear" (antialiased, Pillow-like) or "align_corners" (bilinear, corners aligned).
            At the input's own size the image is untouched.
        mean, std: per channel of [0, 1] images, in RGB order.
        channel_order: "rgb" or "bgr", the order in which the network wants its input.
        flip: "shared" (one draw per image), "independent" (one per image and resolution, as float RS-Nets do) or "none".
        lighting: standard deviation of the lighting noise in training (0.1 in the reference; 0 for none).

    Call arguments: `images` uint8 RGB `(batch, height, width, 3)`; `draws` float `(batch, self.draws)`, uniform in [0, 1),
    for the random part in training; `training`. Output: dict resolution -> float32 `(batch, resolution, resolution, 3)`.
    """

    def __init__(
        self,
        resolutions,
        resize="nearest",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        channel_order="rgb",
        flip="shared",
        lighting=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if resize not in RESIZES:
            raise ValueError(f"`resize` must be one of {', '.join(RESIZES)}. Received: resize={resize!r}.")
        if flip not in FLIPS:
            raise ValueError(f"`flip` must be one of {', '.join(FLIPS)}. Received: flip={flip!r}.")
        if channel_order not in ("rgb", "bgr"):
            raise ValueError(f"`channel_order` must be rgb or bgr. Received: channel_order={channel_order!r}.")
        self.resolutions = list(resolutions)
        self.resize = resize
        self.mean = list(mean)
        self.std = list(std)
        self.channel_order = channel_order
        self.flip = flip
        self.lighting = lighting
        self._autocast = False

    def get_config(self):
        names = ("resolutions", "resize", "mean", "std", "channel_order", "flip", "lighting")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @property
    def draws(self):
        """Random numbers per image that training uses: three for the lighting, one per resolution for the flip."""
        return 3 + len(self.resolutions)

    def call(self, images, draws=None, training=None):
        if training and self.lighting:
            images = self._lit(images, draws[:, :3])
        mirrors = [None] * len(self.resolutions)
        if training and self.flip != "none":
            mirrors = tf.unstack(draws[:, 3:] < 0.5, axis=1)
            if self.flip == "shared":
                images, mirrors = _mirrored(images, mirrors[0]), [None] * len(mirrors)
        return {r: self.at(images, r, mirror) for r, mirror in zip(self.resolutions, mirrors, strict=True)}

    def at(self, images, resolution, mirror=None):
        """One resolution of `images`, without the random part; `mirror` `(batch,)` tells which to flip."""
        return self.normalised(_resize(images, resolution, self.resize, mirror))

    def normalised(self, images):
        """`images` `(batch, height, width, 3)` in [0, 255] as the network wants them, at their own size."""
        images = tf.cast(images, tf.float32) * (1 / (255 * np.array(self.std, "f")))
        if any(self.mean):
            images -= np.array(self.mean, "f") / np.array(self.std, "f")
        return images[..., ::-1] if self.channel_order == "bgr" else images

    def _lit(self, images, draws):
        noise = self.lighting * tf.math.ndtri(tf.clip_by_value(draws, 1e-7, 1 - 1e-7)) * _PCA_VALUES
        noise = tf.einsum("bk,ck->bc", noise, tf.constant(_PCA_VECTORS))
        lit = tf.clip_by_value(tf.cast(images, tf.float32) + noise[:, None, None, :], 0, 255)
        return tf.cast(lit, images.dtype)


def _mirrored(images, mirror):
    if mirror is None:
        return images
    return tf.raw_ops.Select(condition=mirror, x=images[:, :, ::-1], y=images)  # picks whole images; `where` broadcasts


def _resize(images, resolution, method, mirror):
    if images.shape[1] == resolution and images.shape[2] == resolution:
        return _mirrored(images, mirror)
    size = [resolution, resolution]
    if method == "nearest":
        return _mirrored(tf.raw_ops.ResizeNearestNeighbor(images=images, size=size), mirror)
    if method == "align_corners":
        return _mirrored(tf.raw_ops.ResizeBilinear(images=images, size=size, align_corners=True), mirror)
    height, width, channels = tf.shape(images)[1], tf.shape(images)[2], images.shape[3]
    rows, columns = _triangle_filter(height, resolution)[None], _triangle_filter(width, resolution)[None]
    if mirror is not None:  # costs nothing here
        columns = tf.where(mirror[:, None, None], columns[:, ::-1], columns)
    x = tf.matmul(rows, tf.reshape(tf.cast(images, tf.float32), [-1, height, width * channels]))
    x = tf.transpose(tf.reshape(x, [-1, resolution, width, channels]), [0, 2, 1, 3])
    x = tf.matmul(columns, tf.reshape(x, [-1, width, resolution * channels]))
    return tf.transpose(tf.reshape(x, [-1, resolution, resolution, channels]), [0, 2, 1, 3])


def _triangle_filter(size, target):
    """`(target, size)` weights of antialiased bilinear resizing along one axis.

    Matrix products run on every accelerator; `tf.image.resize(antialias=True)`, which gives the same to 0.01 grey levels, has
    a kernel for processors only.
    """
    scale = tf.cast(size, tf.float32) / target
    centres = (tf.range(target, dtype=tf.float32) + 0.5) * scale
    distance = tf.abs(tf.cast(tf.range(size), tf.float32) + 0.5 - centres[:, None])
    weights = tf.maximum(1 - distance / tf.maximum(scale, 1.0), 0)
    return weights / tf.reduce_sum(weights, 1, keepdims=True)
