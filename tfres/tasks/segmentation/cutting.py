"""The random part of training on the host: a scaled picture and its classes, of which only a window is computed."""

from __future__ import annotations

import tensorflow as tf

from tfres.tasks.segmentation.labels import IGNORED

Length = int | tf.Tensor


def random_window(
    image: tf.Tensor,
    classes: tf.Tensor,
    draws: tf.Tensor,
    crop: tuple[int, int],
    scales: tuple[float, float, int],
    long: Length,
) -> tuple[tf.Tensor, tf.Tensor]:
    """A window at a random place of the picture at a random scale.

    Args:
        image: uint8 `(height, width, 3)`.
        classes: uint8 `(height, width)`.
        draws: float `(3,)`, uniform in [0, 1): scale, column, row.
        crop: height and width of the window.
        scales: the smallest and the step between scales, and how many there are.
        long: long side at scale 1.

    Returns:
        uint8 window `(*crop, 3)` and its classes `crop`.
    """
    smallest, step, count = scales
    scale = smallest + step * tf.floor(draws[0] * count)
    height, width = scaled_sides(tf.shape(image)[:2], tf.cast(long, tf.float32) * scale)
    left, top = (
        tf.cast(draw * tf.cast(tf.maximum(size - side, 0) + 1, tf.float32), tf.int32)
        for draw, size, side in ((draws[1], width, crop[1]), (draws[2], height, crop[0]))
    )
    return window(image, classes, height, width, top, left, crop)


def scaled_sides(shape: tf.Tensor, long: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Height and width of a picture whose long side gets `long` (float) pixels: both rounded half up, the long one first."""
    new = tf.floor(long + 0.5 + 1e-4)  # a product of float32 numbers may be a little below a half
    height, width = tf.unstack(tf.cast(shape, tf.float32))
    longest = tf.maximum(height, width)
    sides = (tf.where(side >= longest, new, tf.floor(side * new / longest + 0.5)) for side in (height, width))
    return tuple(tf.maximum(tf.cast(side, tf.int32), 1) for side in sides)


def window(
    image: tf.Tensor, classes: tf.Tensor, height: Length, width: Length, top: Length, left: Length, crop: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """A window of a picture and its classes after both were resized; beyond them it is black, and ignored.

    Pictures are resized bilinearly without antialiasing, within a grey level of OpenCV's; classes are those of the pixel
    floor(i size / new size), as OpenCV's nearest.

    Args:
        image: uint8 `(h, w, 3)`.
        classes: uint8 `(h, w)`.
        height, width: of the whole after resizing.
        top, left: first row and column of the window.
        crop: its height and width.

    Returns:
        uint8 window `(*crop, 3)` and its classes `crop`.
    """
    shape = tf.shape(image)
    rows, columns = top + tf.range(crop[0]), left + tf.range(crop[1])
    inside = (rows < height)[:, None] & (columns < width)
    x = _interpolated(tf.cast(image, tf.float32), 0, rows, shape[0], height)
    x = _interpolated(x, 1, columns, shape[1], width)
    pixels = tf.where(inside[..., None], tf.cast(x + 0.5, tf.uint8), tf.constant(0, tf.uint8))
    near = [_nearest(places, size, new) for places, size, new in ((rows, shape[0], height), (columns, shape[1], width))]
    picked = tf.gather(tf.gather(classes, near[0]), near[1], axis=1)
    picked = tf.where(inside, picked, tf.constant(IGNORED, tf.uint8))
    return tf.ensure_shape(pixels, [*crop, 3]), tf.ensure_shape(picked, crop)


def _interpolated(x: tf.Tensor, axis: int, places: tf.Tensor, size: tf.Tensor, new: Length) -> tf.Tensor:
    """Float `(h, w, 3)` at `places` of an axis of `size` pixels that is resized to `new`."""
    scale = tf.cast(size, tf.float32) / tf.cast(new, tf.float32)
    place = (tf.cast(places, tf.float32) + 0.5) * scale - 0.5
    low = tf.floor(place)
    share = tf.reshape(place - low, [-1, 1, 1] if axis == 0 else [1, -1, 1])
    first, second = (tf.gather(x, tf.clip_by_value(tf.cast(low, tf.int32) + i, 0, size - 1), axis=axis) for i in (0, 1))
    return first + (second - first) * share


def _nearest(places: tf.Tensor, size: tf.Tensor, new: Length) -> tf.Tensor:
    exact = tf.cast(places, tf.int64) * tf.cast(size, tf.int64) // tf.cast(new, tf.int64)
    return tf.minimum(tf.cast(exact, tf.int32), size - 1)
