"""Host-side picture operations as tensor functions: decoding, reference resizing, random and centre crops."""

import tensorflow as tf

_TRIES = 10
_CUBIC = -0.75  # OpenCV's constant; tf.image uses -0.5
SHORTEST_EDGE = 256 / 224  # of evaluation, relative to the crop


def decode(encoded):
    """JPEG, PNG, BMP or GIF bytes to uint8 RGB `(height, width, 3)`."""
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    image.set_shape([None, None, 3])
    return image


def resize_cubic(image, height, width):
    """Bicubic without antialiasing, half-pixel centres, borders repeated; OpenCV's rule to about one grey level.

    Args:
        image: uint8 `(h, w, c)`.
        height, width: of the output.

    Returns:
        uint8 `(height, width, c)`.
    """
    shape = tf.shape(image)
    index, weight = _taps(shape[1], width)
    x = tf.einsum("hwtc,wt->hwc", tf.gather(tf.cast(image, tf.float32), index, axis=1), weight)
    index, weight = _taps(shape[0], height)
    x = tf.einsum("htwc,ht->hwc", tf.gather(x, index, axis=0), weight)
    return tf.cast(tf.clip_by_value(tf.floor(x + 0.5), 0, 255), tf.uint8)


def centre_crop(image, side, shortest_edge=None):
    """Shortest edge to `shortest_edge` pixels (bicubic), then the middle `side` x `side` pixels.

    Args:
        image: uint8 `(h, w, 3)`.
        side: pixels of the output.
        shortest_edge: default 256/224 of `side`, rounded.

    Returns:
        uint8 `(side, side, 3)`.
    """
    shortest_edge = shortest_edge or round(side * SHORTEST_EDGE)
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    scale = shortest_edge / tf.reduce_min(shape)
    height, width = tf.unstack(tf.cast(scale * shape + 0.5, tf.int32))
    image = resize_cubic(image, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return tf.ensure_shape(image[top : top + side, left : left + side], [side, side, 3])


def area_crop(encoded, side, seed):
    """Random area and aspect crop resized to a square; of a JPEG only the crop is decoded.

    Ten tries of area U(0.08, 1) of the picture and aspect U(3/4, 4/3), width and height swapped half of the time; the
    corner is an integer draw that excludes the last position, as in tensorpack. When none fits: shortest edge to `side`,
    centre crop.

    Args:
        encoded: picture bytes.
        side: pixels of the output.
        seed: int32 `(2,)`.

    Returns:
        uint8 `(side, side, 3)`.
    """
    is_jpeg = tf.io.is_jpeg(encoded)
    whole = tf.cond(is_jpeg, lambda: tf.zeros([0, 0, 3], tf.uint8), lambda: decode(encoded))
    shape = tf.cond(is_jpeg, lambda: tf.io.extract_jpeg_shape(encoded), lambda: tf.shape(whole))
    window, fits = _area_window(shape[0], shape[1], seed)

    def crop():
        def cut():
            top, left, height, width = tf.unstack(window)
            return whole[top : top + height, left : left + width]

        image = tf.cond(
            is_jpeg,
            lambda: tf.io.decode_and_crop_jpeg(encoded, window, channels=3, dct_method="INTEGER_ACCURATE"),
            cut,
        )
        return resize_cubic(image, side, side)

    image = tf.cond(fits, crop, lambda: centre_crop(decode(encoded), side, shortest_edge=side))
    return tf.ensure_shape(image, [side, side, 3])


def pad_crop(images, seed):
    """Every picture of the batch padded by an eighth of its side with zeros, then cut at a random place.

    Args:
        images: uint8 `(batch, side, side, 3)`.
        seed: int32 `(2,)`.
    """
    batch, side = tf.shape(images)[0], images.shape[1]
    pad = side // 8
    padded = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    offset = tf.random.stateless_uniform([batch, 2], seed, 0, 2 * pad + 1, tf.int32)
    rows = offset[:, :1] + tf.range(side)
    columns = offset[:, 1:] + tf.range(side)
    return tf.gather(tf.gather(padded, rows, batch_dims=1), columns, axis=2, batch_dims=1)


def _area_window(height, width, seed):
    """First of the tries that fits as `[top, left, height, width]`, and whether one did."""
    draw = tf.random.stateless_uniform([5, _TRIES], seed)
    area = tf.cast(height * width, tf.float32) * (0.08 + 0.92 * draw[0])
    aspect = 0.75 + (1.333 - 0.75) * draw[1]
    w = tf.cast(tf.sqrt(area * aspect) + 0.5, tf.int32)
    h = tf.cast(tf.sqrt(area / aspect) + 0.5, tf.int32)
    w, h = tf.where(draw[2] < 0.5, h, w), tf.where(draw[2] < 0.5, w, h)
    fits = (h <= height) & (w <= width)
    first = tf.argmax(fits, output_type=tf.int32)
    h, w = h[first], w[first]
    top, left = (
        tf.cast(draw[i, first] * tf.cast(tf.maximum(room, 0), tf.float32), tf.int32)
        for i, room in ((3, height - h), (4, width - w))
    )
    return tf.stack([top, left, h, w]), tf.reduce_any(fits)


def _taps(size, target):
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
