"""Host-side cuts as tensor functions: random and centre crops, by the rules of two references."""

from __future__ import annotations

import math

import tensorflow as tf

from tfres.data.decoding import decode_known, is_whole_jpeg, shape_of
from tfres.data.resizing import resize_bilinear, resize_cubic, resize_window

RULES = ("torchvision", "tensorpack")
_TRIES = 10


def centre_crop(image: tf.Tensor, side: int, rules: str = "tensorpack", shortest_edge: int | None = None) -> tf.Tensor:
    """Evaluation's picture: the shortest edge to some pixels, then the middle `side` x `side` pixels.

    "tensorpack": the edge is 256/224 of the side, rounded; bicubic; offsets rounded down. "torchvision": the edge is
    int(side / 0.875), the other one truncated; bilinear exactly as Pillow; offsets rounded half to even.

    Args:
        image: uint8 `(h, w, 3)`.
        side: pixels of the output.
        rules: see above.
        shortest_edge: another length of the shortest edge.

    Returns:
        uint8 `(side, side, 3)`.
    """
    shape = tf.shape(image)[:2]
    if rules == "torchvision":
        edge = shortest_edge or int(side / 0.875)
        height, width = tf.unstack(edge * shape // tf.reduce_min(shape))
        top, left = (tf.cast(tf.round((size - side) / 2), tf.int32) for size in (height, width))
        image = resize_window(image, height, width, (top, left, side, side))
    else:
        edge = shortest_edge or round(side * 256 / 224)
        scale = edge / tf.reduce_min(tf.cast(shape, tf.float32))
        height, width = tf.unstack(tf.cast(scale * tf.cast(shape, tf.float32) + 0.5, tf.int32))
        image = resize_cubic(image, height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    return tf.ensure_shape(image, [side, side, 3])


def area_crop(
    encoded: tf.Tensor,
    side: int,
    seed: tf.Tensor,
    rules: str = "tensorpack",
    antialias: str = "exact",
    smallest: float = 0.08,
) -> tf.Tensor:
    """Random area and aspect crop resized to a square; of a whole JPEG only the crop is decoded.

    Ten tries of area U(smallest, 1) of the picture. "tensorpack": aspect U(3/4, 4/3), width and height swapped half of the
    time, a corner that excludes the last position; bicubic; when no try fits, shortest edge to `side` and centre crop.
    "torchvision": log aspect U(ln 3/4, ln 4/3), any corner; antialiased bilinear; when no try fits, the middle of the
    picture trimmed to an aspect between 3/4 and 4/3.

    Args:
        encoded: picture bytes.
        side: pixels of the output.
        seed: integer `(2,)`, of stateless random numbers.
        rules: see above.
        antialias: of "torchvision", see `resize_bilinear`.
        smallest: share of the picture.

    Returns:
        uint8 `(side, side, 3)`.
    """
    shape = shape_of(encoded)
    with tf.control_dependencies([shape]):
        encoded = tf.identity(encoded)
    cuttable = tf.io.is_jpeg(encoded) & is_whole_jpeg(encoded)  # or the missing part would go unnoticed
    whole = tf.cond(cuttable, lambda: tf.zeros([0, 0, 3], tf.uint8), lambda: decode_known(encoded))

    def cut(window: tf.Tensor) -> tf.Tensor:
        def slice_whole() -> tf.Tensor:
            top, left, height, width = tf.unstack(window)
            return whole[top : top + height, left : left + width]

        def decode_window() -> tf.Tensor:
            return tf.io.decode_and_crop_jpeg(encoded, window, channels=3, dct_method="INTEGER_ACCURATE")

        return tf.ensure_shape(tf.cond(cuttable, decode_window, slice_whole), [None, None, 3])

    draws = tf.random.stateless_uniform([5, _TRIES], seed)
    if rules == "torchvision":
        image = resize_bilinear(cut(torchvision_window(shape[0], shape[1], draws, smallest)), side, side, antialias)
    else:
        window, fits = tensorpack_window(shape[0], shape[1], draws, smallest)
        image = tf.cond(
            fits,
            lambda: resize_cubic(cut(window), side, side),
            lambda: centre_crop(decode_known(encoded), side, shortest_edge=side),
        )
    return tf.ensure_shape(image, [side, side, 3])


def pad_crop(images: tf.Tensor, draws: tf.Tensor, mode: str = "CONSTANT") -> tf.Tensor:
    """Every picture of the batch padded by an eighth of its side, then cut at a random place.

    Args:
        images: uint8 `(batch, side, side, 3)`.
        draws: `(batch, 2)`, uniform in [0, 1).
        mode: of `tf.pad`: zeros, or "REFLECT".
    """
    side = images.shape[1]
    pad = side // 8
    padded = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]], mode)
    offset = tf.cast(draws * (2 * pad + 1), tf.int32)
    rows = offset[:, :1] + tf.range(side)
    columns = offset[:, 1:] + tf.range(side)
    return tf.gather(tf.gather(padded, rows, batch_dims=1), columns, axis=2, batch_dims=1)


def tensorpack_window(
    height: tf.Tensor, width: tf.Tensor, draws: tf.Tensor, smallest: float = 0.08
) -> tuple[tf.Tensor, tf.Tensor]:
    """First try that fits as `[top, left, height, width]`, and whether one did.

    Args:
        height, width: of the picture.
        draws: `(5, tries)`, uniform in [0, 1).
        smallest: share of the picture that the window takes at least.
    """
    area = tf.cast(height * width, tf.float32) * (smallest + (1 - smallest) * draws[0])
    aspect = 0.75 + (1.333 - 0.75) * draws[1]
    w = tf.cast(tf.sqrt(area * aspect) + 0.5, tf.int32)
    h = tf.cast(tf.sqrt(area / aspect) + 0.5, tf.int32)
    w, h = tf.where(draws[2] < 0.5, h, w), tf.where(draws[2] < 0.5, w, h)
    fits = (h <= height) & (w <= width)
    first = tf.argmax(fits, output_type=tf.int32)
    h, w = h[first], w[first]
    top, left = (
        tf.cast(draws[i, first] * tf.cast(tf.maximum(room, 0), tf.float32), tf.int32)
        for i, room in ((3, height - h), (4, width - w))
    )
    return tf.stack([top, left, h, w]), tf.reduce_any(fits)


def torchvision_window(height: tf.Tensor, width: tf.Tensor, draws: tf.Tensor, smallest: float = 0.08) -> tf.Tensor:
    """First try that fits, else the trimmed middle, as `[top, left, height, width]`.

    Args:
        height, width: of the picture.
        draws: `(5, tries)`, uniform in [0, 1): area, aspect, (unused), top, left.
    """
    area = tf.cast(height * width, tf.float32) * (smallest + (1 - smallest) * draws[0])
    aspect = tf.exp(math.log(3 / 4) + (math.log(4 / 3) - math.log(3 / 4)) * draws[1])
    w = tf.cast(tf.round(tf.sqrt(area * aspect)), tf.int32)
    h = tf.cast(tf.round(tf.sqrt(area / aspect)), tf.int32)
    fits = (h <= height) & (w <= width)
    first = tf.argmax(fits, output_type=tf.int32)
    h, w = h[first], w[first]
    top, left = (
        tf.cast(draws[i, first] * tf.cast(tf.maximum(room, 0) + 1, tf.float32), tf.int32)
        for i, room in ((3, height - h), (4, width - w))
    )
    return tf.where(tf.reduce_any(fits), tf.stack([top, left, h, w]), _trimmed(height, width))


def _trimmed(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """The middle of a picture, cut to an aspect between 3/4 and 4/3."""
    h = tf.where(width / height < 3 / 4, tf.cast(tf.round(tf.cast(width, tf.float32) / (3 / 4)), tf.int32), height)
    w = tf.where(width / height > 4 / 3, tf.cast(tf.round(tf.cast(height, tf.float32) * (4 / 3)), tf.int32), width)
    return tf.stack([(height - h) // 2, (width - w) // 2, h, w])
