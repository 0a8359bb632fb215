"""Host-side picture operations as tensor functions: decoding, reference resizing, random and centre crops."""

import math

import tensorflow as tf

RULES = ("torchvision", "tensorpack")
_TRIES = 10
_CUBIC = -0.75  # OpenCV's constant; tf.image uses -0.5


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


def resize_bilinear(image, height, width, antialias=True):
    """Bilinear, with antialiasing when shrinking; Pillow's rule to one grey level.

    Four times as fast as `tf.image.resize(antialias=True)`, whose kernel runs over three channels at a time: here either pass
    runs down the rows, with all columns and channels of a row as its channels. Without shrinking there is nothing to
    antialias, and TensorFlow's plain kernel does it.

    Args:
        image: uint8 `(h, w, c)`.
        height, width: of the output.
        antialias: False for plain bilinear also when shrinking.

    Returns:
        uint8 `(height, width, c)`.
    """
    shape, channels = tf.shape(image), image.shape[-1]

    def plain():
        return tf.raw_ops.ResizeBilinear(images=image[None], size=[height, width], half_pixel_centers=True)[0]

    def antialiased():
        x = tf.reshape(_resize_rows(image, height), [height, shape[1], channels])
        x = tf.reshape(_resize_rows(tf.transpose(x, [1, 0, 2]), width), [width, height, channels])
        return tf.transpose(x, [1, 0, 2])

    grows = tf.logical_and(height >= shape[0], width >= shape[1])
    resized = tf.cond(grows, plain, antialiased) if antialias else plain()
    return tf.cast(resized + 0.5, tf.uint8)


def _resize_rows(image, height):
    """`(h, w, c)` to float `(height, 1, w * c)`."""
    shape = tf.shape(image)
    return tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(image, [1, shape[0], 1, shape[1] * shape[2]]),
        size=[height, 1],
        scale=tf.stack([tf.cast(height, tf.float32) / tf.cast(shape[0], tf.float32), 1.0]),
        translation=[0.0, 0.0],
        kernel_type="triangle",
        antialias=True,
    )[0]


def centre_crop(image, side, rules="tensorpack", shortest_edge=None):
    """Evaluation's picture: the shortest edge to some pixels, then the middle `side` x `side` pixels.

    "tensorpack": the edge is 256/224 of the side, rounded; bicubic; offsets rounded down. "torchvision": the edge is
    int(side / 0.875), the other one truncated; antialiased bilinear; offsets rounded half to even.

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
        image = resize_bilinear(image, height, width)
        top, left = (tf.cast(tf.round((size - side) / 2), tf.int32) for size in (height, width))
    else:
        edge = shortest_edge or round(side * 256 / 224)
        scale = edge / tf.reduce_min(tf.cast(shape, tf.float32))
        height, width = tf.unstack(tf.cast(scale * tf.cast(shape, tf.float32) + 0.5, tf.int32))
        image = resize_cubic(image, height, width)
        top, left = (height - side) // 2, (width - side) // 2
    return tf.ensure_shape(image[top : top + side, left : left + side], [side, side, 3])


def area_crop(encoded, side, seed, rules="tensorpack", antialias=True, smallest=0.08):
    """Random area and aspect crop resized to a square; of a JPEG only the crop is decoded.

    Ten tries of area U(smallest, 1) of the picture. "tensorpack": aspect U(3/4, 4/3), width and height swapped half of the
    time, a corner that excludes the last position; bicubic; when no try fits, shortest edge to `side` and centre crop.
    "torchvision": log aspect U(ln 3/4, ln 4/3), any corner; antialiased bilinear; when no try fits, the middle of the
    picture trimmed to an aspect between 3/4 and 4/3.

    Args:
        encoded: picture bytes.
        side: pixels of the output.
        seed: int32 `(2,)`.
        rules: see above.
        antialias: of "torchvision", see `resize_bilinear`.
        smallest: share of the picture.

    Returns:
        uint8 `(side, side, 3)`.
    """
    is_jpeg = tf.io.is_jpeg(encoded)
    whole = tf.cond(is_jpeg, lambda: tf.zeros([0, 0, 3], tf.uint8), lambda: decode(encoded))
    shape = tf.cond(is_jpeg, lambda: tf.io.extract_jpeg_shape(encoded), lambda: tf.shape(whole))

    def cut(window):
        def slice_whole():
            top, left, height, width = tf.unstack(window)
            return whole[top : top + height, left : left + width]

        jpeg = lambda: tf.io.decode_and_crop_jpeg(encoded, window, channels=3, dct_method="INTEGER_ACCURATE")  # noqa: E731
        return tf.cond(is_jpeg, jpeg, slice_whole)

    draws = tf.random.stateless_uniform([5, _TRIES], seed)
    if rules == "torchvision":
        image = resize_bilinear(cut(torchvision_window(shape[0], shape[1], draws, smallest)), side, side, antialias)
    else:
        window, fits = tensorpack_window(shape[0], shape[1], draws, smallest)
        image = tf.cond(
            fits,
            lambda: resize_cubic(cut(window), side, side),
            lambda: centre_crop(decode(encoded), side, shortest_edge=side),
        )
    return tf.ensure_shape(image, [side, side, 3])


def pad_crop(images, draws, mode="CONSTANT"):
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


def tensorpack_window(height, width, draws, smallest=0.08):
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


def torchvision_window(height, width, draws, smallest=0.08):
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


def _trimmed(height, width):
    """The middle of a picture, cut to an aspect between 3/4 and 4/3."""
    h = tf.where(width / height < 3 / 4, tf.cast(tf.round(tf.cast(width, tf.float32) / (3 / 4)), tf.int32), height)
    w = tf.where(width / height > 4 / 3, tf.cast(tf.round(tf.cast(height, tf.float32) * (4 / 3)), tf.int32), width)
    return tf.stack([(height - h) // 2, (width - w) // 2, h, w])


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
