"""Resizing of single pictures on the host, by the rules of Pillow and of OpenCV."""

from __future__ import annotations

import tensorflow as tf

ANTIALIAS = ("exact", "fast", "none")
_CUBIC = -0.75  # OpenCV's constant; tf.image uses -0.5
_BITS = 22  # of the weights of Pillow's filters

Length = int | tf.Tensor


def resize_cubic(image: tf.Tensor, height: Length, width: Length) -> tf.Tensor:
    """Bicubic without antialiasing, half-pixel centres, borders repeated; OpenCV's rule to about one grey level.

    Args:
        image: uint8 `(h, w, c)`.
        height, width: of the output.

    Returns:
        uint8 `(height, width, c)`.
    """
    shape = tf.shape(image)
    index, weight = _cubic_taps(shape[1], width)
    x = tf.einsum("hwtc,wt->hwc", tf.gather(tf.cast(image, tf.float32), index, axis=1), weight)
    index, weight = _cubic_taps(shape[0], height)
    x = tf.einsum("htwc,ht->hwc", tf.gather(x, index, axis=0), weight)
    return tf.cast(tf.clip_by_value(tf.floor(x + 0.5), 0, 255), tf.uint8)


def resize_bilinear(image: tf.Tensor, height: Length, width: Length, antialias: str = "exact") -> tf.Tensor:
    """Bilinear, with a filter that widens as the picture shrinks; Pillow's rule.

    (Pillow from 13 on takes the vertical pass first where the height shrinks much more than the width; before, and here, the
    horizontal one is always first.)

    Args:
        image: uint8 `(h, w, c)`.
        height, width: of the output.
        antialias: "exact" (Pillow's pixels), "fast" (within two grey levels of them: vertical pass first, rounded once;
            without shrinking TensorFlow's plain kernel) or "none" (plain bilinear also when shrinking).

    Returns:
        uint8 `(height, width, c)`.
    """
    if antialias not in ANTIALIAS:
        raise ValueError(f"`antialias` must be one of {', '.join(ANTIALIAS)}. Received: antialias={antialias!r}.")
    if antialias == "exact":
        return resize_window(image, height, width, (0, 0, height, width))
    shape, channels = tf.shape(image), image.shape[-1]

    def plain() -> tf.Tensor:
        return tf.raw_ops.ResizeBilinear(images=image[None], size=[height, width], half_pixel_centers=True)[0]

    def antialiased() -> tf.Tensor:
        x = tf.reshape(_scaled_rows(image, height), [height, shape[1], channels])
        x = tf.reshape(_scaled_rows(tf.transpose(x, [1, 0, 2]), width), [width, height, channels])
        return tf.transpose(x, [1, 0, 2])

    grows = tf.logical_and(height >= shape[0], width >= shape[1])
    resized = tf.cond(grows, plain, antialiased) if antialias == "fast" else plain()
    return tf.cast(resized + 0.5, tf.uint8)


def resize_window(image: tf.Tensor, height: Length, width: Length, window: tuple[Length, Length, Length, Length]) -> tf.Tensor:
    """A window of the exactly resized picture; what lies outside of it is not computed.

    Two passes: along the rows, rounded to 8 bits, then down the columns, rounded again. The weights are integers,
    floor(0.5 + w * 2^22) of float64 weights w that sum to 1, and so are all sums. The picture lies with the axis of a pass in
    front, as a matrix that a sparse matrix of the weights is multiplied with.

    Args:
        image: uint8 `(h, w, c)`.
        height, width: of the whole resized picture.
        window: `(top, left, height, width)` in it.

    Returns:
        uint8 `(window height, window width, c)`.
    """
    shape, channels = tf.shape(image), image.shape[-1]
    top, left, rows, columns = window
    x = tf.reshape(tf.transpose(image, [1, 0, 2]), [shape[1], shape[0] * channels])
    x = tf.reshape(_filtered_rows(x, shape[1], width, left, columns), [columns, shape[0], channels])
    x = tf.reshape(tf.transpose(x, [1, 0, 2]), [shape[0], columns * channels])
    return tf.reshape(_filtered_rows(x, shape[0], height, top, rows), [rows, columns, channels])


def _filtered_rows(rows: tf.Tensor, size: tf.Tensor, target: Length, start: Length, count: Length) -> tf.Tensor:
    """uint8 `(size, n)` to rows `start` to `start + count` of what would be uint8 `(target, n)`."""
    index, weight = _triangle_taps(size, target, start, count)
    taps = tf.shape(index)[1]
    places = tf.stack([tf.repeat(tf.range(count), taps), tf.reshape(index, [-1])], 1)
    matrix = tf.SparseTensor(tf.cast(places, tf.int64), tf.reshape(weight, [-1]), tf.cast(tf.stack([count, size]), tf.int64))
    sums = tf.sparse.sparse_dense_matmul(matrix, tf.cast(rows, tf.int32))
    return tf.cast(tf.minimum(tf.bitwise.right_shift(sums + 2 ** (_BITS - 1), _BITS), 255), tf.uint8)


def _triangle_taps(size: tf.Tensor, target: Length, start: Length, count: Length) -> tuple[tf.Tensor, tf.Tensor]:
    """For `count` target positions the source positions under the filter and their integer weights, both `(count, taps)`."""
    scale = tf.cast(size, tf.float64) / tf.cast(target, tf.float64)
    reach = tf.maximum(scale, 1.0)
    centre = (tf.cast(start + tf.range(count), tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(centre - reach + 0.5, tf.int32), 0)
    last = tf.minimum(tf.cast(centre + reach + 0.5, tf.int32), size)
    index = first[:, None] + tf.range(tf.reduce_max(last - first))
    distance = tf.abs((tf.cast(index, tf.float64) - centre[:, None] + 0.5) * (1.0 / reach))
    weight = tf.where(index < last[:, None], tf.maximum(1.0 - distance, 0.0), 0.0)
    weight /= tf.reduce_sum(weight, 1, keepdims=True)
    return tf.minimum(index, size - 1), tf.cast(0.5 + weight * 2.0**_BITS, tf.int32)


def _scaled_rows(image: tf.Tensor, height: Length) -> tf.Tensor:
    """`(h, w, c)` to float `(height, 1, w * c)`: TensorFlow's kernel with all columns and channels of a row as its channels,
    four times as fast as `tf.image.resize(antialias=True)`, where it runs over three channels at a time.
    """
    shape = tf.shape(image)
    return tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(image, [1, shape[0], 1, shape[1] * shape[2]]),
        size=[height, 1],
        scale=tf.stack([tf.cast(height, tf.float32) / tf.cast(shape[0], tf.float32), 1.0]),
        translation=[0.0, 0.0],
        kernel_type="triangle",
        antialias=True,
    )[0]


def _cubic_taps(size: tf.Tensor, target: Length) -> tuple[tf.Tensor, tf.Tensor]:
    """For every target position the four source positions and their cubic weights, both `(target, 4)`."""
    scale = tf.cast(size, tf.float32) / tf.cast(target, tf.float32)
    centre = (tf.cast(tf.range(target), tf.float32) + 0.5) * scale - 0.5
    first = tf.floor(centre)
    t = (centre - first)[:, None]
    a = _CUBIC
    far = tf.concat([t + 1, 2 - t], 1)
    near = tf.concat([t, 1 - t], 1)
    far = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    near = ((a + 2) * near - (a + 3)) * near**2 + 1
    index = tf.cast(first, tf.int32)[:, None] + tf.range(-1, 3)
    return tf.clip_by_value(index, 0, size - 1), tf.concat([far[:, :1], near, far[:, 1:]], 1)
