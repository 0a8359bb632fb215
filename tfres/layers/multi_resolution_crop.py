"""All resolutions of a batch, made on the accelerator from one uint8 crop."""

import tensorflow as tf

RESIZES = ("nearest", "bilinear", "align_corners")
# Principal components of ImageNet's RGB pixels in [0, 255]: eigenvalues and eigenvectors (rows: R, G, B).
_PCA_VALUES = (0.2175 * 255, 0.0188 * 255, 0.0045 * 255)
_PCA_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


@tf.keras.saving.register_keras_serializable(package="tfres")
class MultiResolutionCrop(tf.keras.layers.Layer):
    """Turns one uint8 crop per image into normalised float images at every resolution, inside the step.

    Per image, in training only: PCA lighting noise, one horizontal flip shared by all resolutions. Then per resolution:
    resize, scale to [0, 1], subtract `mean`, divide by `std`, put channels in `channel_order`.

    Args:
        resolutions: sides in pixels of the outputs.
        resize: "nearest" (source row = floor(i * size / resolution) in float32, the TensorFlow 1 rule that quantized
            RS-Nets use), "bilinear" (antialiased, Pillow-like) or "align_corners" (bilinear, corners aligned).
            At the input's own size the image is untouched.
        mean, std: per channel of [0, 1] images, in RGB order.
        channel_order: "rgb" or "bgr", the order in which the network wants its input.
        flip: flip half of the images in training.
        lighting: standard deviation of the lighting noise in training (0.1 in the reference; 0 for none).

    Call arguments: `images` uint8 RGB `(batch, height, width, 3)`; `seed` int32 `(2,)` for the random part,
    `training`. Output: dict resolution -> float32 `(batch, resolution, resolution, 3)`.
    """

    def __init__(
        self,
        resolutions,
        resize="nearest",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        channel_order="rgb",
        flip=True,
        lighting=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if resize not in RESIZES:
            raise ValueError(f"`resize` must be one of {', '.join(RESIZES)}. Received: resize={resize!r}.")
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

    def call(self, images, seed=None, training=None):
        if training:
            images = self._augment(images, seed)
        return {resolution: self.at(images, resolution) for resolution in self.resolutions}

    def at(self, images, resolution):
        """One resolution of `images`, without the random part."""
        images = tf.cast(_resize(images, resolution, self.resize), tf.float32) / 255
        images = (images - self.mean) / self.std
        return images[..., ::-1] if self.channel_order == "bgr" else images

    def _augment(self, images, seed):
        batch = tf.shape(images)[0]
        if self.lighting:
            noise = tf.random.stateless_normal([batch, 3], seed, stddev=self.lighting) * _PCA_VALUES
            noise = tf.einsum("bk,ck->bc", noise, tf.constant(_PCA_VECTORS))
            lit = tf.clip_by_value(tf.cast(images, tf.float32) + noise[:, None, None, :], 0, 255)
            images = tf.cast(lit, images.dtype)
        if self.flip:
            mirror = tf.random.stateless_uniform([batch], seed + 1) < 0.5
            images = tf.where(mirror[:, None, None, None], images[:, :, ::-1], images)
        return images


def _resize(images, resolution, method):
    if images.shape[1] == resolution and images.shape[2] == resolution:
        return images
    size = [resolution, resolution]
    if method == "nearest":
        return tf.raw_ops.ResizeNearestNeighbor(images=images, size=size)
    if method == "align_corners":
        return tf.raw_ops.ResizeBilinear(images=images, size=size, align_corners=True)
    return tf.image.resize(images, size, antialias=True)
