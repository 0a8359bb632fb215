"""From a person's box to the cut that a network sees, and back: the frame, its affine map, the warp by OpenCV's rule.

A frame is a centre `(x, y)` and an extent `(width, height)`, in pixels of the picture.
"""

from __future__ import annotations

import tensorflow as tf

MARGIN = 1.25  # how much larger than the box the extent is, in evaluation and before augmentation


def frame_of(boxes: tf.Tensor, aspect: float, margin: float = MARGIN) -> tuple[tf.Tensor, tf.Tensor]:
    """The frames of boxes: the smaller side is enlarged to the aspect, then both by the margin.

    Args:
        boxes: float `(..., 4)`: left, top, width, height.
        aspect: width / height of the cut.
        margin: see above.

    Returns:
        `(centres, extents)`, both `(..., 2)`.
    """
    corner, sides = boxes[..., :2], boxes[..., 2:]
    return corner + 0.5 * sides, margin * widened(sides, aspect)


def widened(sides: tf.Tensor, aspect: float) -> tf.Tensor:
    """Sides `(..., 2)` (width, height), the smaller one enlarged to the aspect."""
    width, height = sides[..., 0], sides[..., 1]
    return tf.stack([tf.maximum(width, height * aspect), tf.maximum(height, width / aspect)], -1)


def into_cut(centres: tf.Tensor, extents: tf.Tensor, size: tuple[int, int], degrees: tf.Tensor | float = 0.0) -> tf.Tensor:
    """The map from pixels of a picture to those of the cut, float64 `(..., 2, 3)`.

    The frame's centre comes to the middle (width / 2, height / 2), its width to the cut's (the height is not looked at), and
    the picture is turned by minus the angle.

    Args:
        centres, extents: of the frames, `(..., 2)`.
        size: height and width of the cut.
        degrees: `(...)`.
    """
    centres, extents = tf.cast(centres, tf.float64), tf.cast(extents, tf.float64)
    radians = tf.cast(degrees, tf.float64) * (3.141592653589793 / 180)
    factor = size[1] / extents[..., 0]
    cos, sin = factor * tf.cos(radians), factor * tf.sin(radians)
    turn = tf.stack([tf.stack([cos, sin], -1), tf.stack([-sin, cos], -1)], -2)
    middle = tf.constant([size[1] / 2, size[0] / 2], tf.float64)
    return tf.concat([turn, (middle - tf.linalg.matvec(turn, centres))[..., None]], -1)


def inverted(maps: tf.Tensor) -> tf.Tensor:
    """The inverses of maps `(..., 2, 3)`, in OpenCV's order of operations."""
    a, b, c, d = maps[..., 0, 0], maps[..., 0, 1], maps[..., 1, 0], maps[..., 1, 1]
    share, x, y = 1 / (a * d - b * c), maps[..., 0, 2], maps[..., 1, 2]
    rows = [tf.stack([d * share, -b * share], -1), tf.stack([-c * share, a * share], -1)]
    return tf.stack([tf.concat([row, (-row[..., 0] * x - row[..., 1] * y)[..., None]], -1) for row in rows], -2)


def moved(points: tf.Tensor, maps: tf.Tensor) -> tf.Tensor:
    """Points `(..., n, 2)` through maps `(..., 2, 3)`, in the points' type."""
    turned = tf.linalg.matmul(tf.cast(points, maps.dtype), maps[..., :2], transpose_b=True)
    return tf.cast(turned + maps[..., None, :, 2], points.dtype)


def from_cut(places: tf.Tensor, sides: tf.Tensor, centres: tf.Tensor, extents: tf.Tensor) -> tf.Tensor:
    """Places in an upright cut (or in heatmaps of it) as places in the picture; the inverse of `into_cut` without an angle.

    Args:
        places: `(batch, n, 2)`.
        sides: `(2,)`, height and width of the cut or heatmaps.
        centres, extents: of the frames, `(batch, 2)`.
    """
    sides = tf.cast(sides, places.dtype)[::-1]
    factor = extents[:, None, :1] / sides[0]
    return centres[:, None] + (places - sides / 2) * factor


def scaled(images: tf.Tensor, sides: tuple[int, int], antialias: bool = True) -> tf.Tensor:
    """Cuts (or heatmaps) at other sides, pixel 0 on pixel 0, as frames of other sizes have them: x becomes x * factor.

    Args:
        images: `(batch, height, width, channels)`.
        sides: height and width wanted.
        antialias: with a filter that widens as they shrink.

    Returns:
        float32 `(batch, *sides, channels)`.
    """
    if tuple(images.shape[1:3]) == tuple(sides):
        return tf.cast(images, tf.float32)
    steps = [tf.cast(old, tf.float32) / new for old, new in zip(tf.unstack(tf.shape(images)[1:3]), sides, strict=True)]
    return _sampled(images, sides, [0.0, 0.0], steps, antialias)


def fitted(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Whole pictures as cuts: in the middle, as large as they fit, black around them; bilinear, as `warp`, not rounded.

    Args:
        images: `(batch, height, width, channels)` in [0, 255].
        size: height and width of the cut.

    Returns:
        float32 `(batch, *size, channels)`.
    """
    centre, extent = whole(tf.shape(images)[1:3], size[1] / size[0])
    step = extent[0] / size[1]
    starts = [centre[1] - step * size[0] / 2, centre[0] - step * size[1] / 2]
    return _sampled(images, size, starts, [step, step], False)


def whole(sides: tf.Tensor, aspect: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The frames of whole pictures, `(centres, extents)` `(..., 2)`, from their heights and widths `(..., 2)`."""
    sides = tf.cast(sides, tf.float32)[..., ::-1]
    return sides / 2, widened(sides, aspect)


def _sampled(images: tf.Tensor, sides: tuple[int, int], starts: list, steps: list, antialias: bool) -> tf.Tensor:
    """Rows and columns at `start + i * step`, as matrix products; what lies outside is black but for `antialias`."""
    weights = []
    for count, wanted, start, step in zip(tf.unstack(tf.shape(images)[1:3]), sides, starts, steps, strict=True):
        places = start + tf.range(wanted, dtype=tf.float32)[:, None] * step
        reach = tf.maximum(step, 1.0) if antialias else 1.0
        weight = tf.maximum(1 - tf.abs(tf.range(tf.cast(count, tf.float32)) - places) / reach, 0)
        weights.append(weight / tf.reduce_sum(weight, 1, keepdims=True) if antialias else weight)
    found = tf.einsum("ih,bhwc->biwc", weights[0], tf.cast(images, tf.float32))
    return tf.einsum("jw,biwc->bijc", weights[1], found)


def warp(image: tf.Tensor, back: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """A cut of a picture, bilinear, black outside: the pixels of OpenCV 5's `warpAffine`.

    All is computed as OpenCV does, in float32 with fused multiply-adds, which float64 stands in for here.

    Args:
        image: uint8 `(height, width, channels)`.
        back: float64 `(2, 3)`, from pixels of the cut to those of the picture.
        size: height and width of the cut.

    Returns:
        uint8 `(size, channels)`.
    """
    (height, width), channels, shape = size, image.shape[-1], tf.shape(image)
    flat = tf.reshape(tf.pad(image, [[1, 1], [1, 1], [0, 0]]), [-1, channels])
    column = tf.range(width, dtype=tf.float32)
    rows = tf.range(height, dtype=tf.float32)[:, None] * tf.cast(back[:, 1], tf.float32) + tf.cast(back[:, 2], tf.float32)

    def axis(number: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """In the bordered picture, the places before and behind every pixel, and how far it is from the first."""
        places = _fused(column, tf.cast(back[number, 0], tf.float32), rows[:, number, None])
        floors, length = tf.floor(places), shape[1 - number]
        first = tf.cast(tf.clip_by_value(floors, -1.0, tf.cast(length, tf.float32)), tf.int32) + 1
        second = tf.where(floors < -1, 0, tf.minimum(first + 1, length + 1))
        return tf.reshape(first, [-1]), tf.reshape(second, [-1]), tf.reshape(places - floors, [-1, 1])

    (left, right, across), (*lines, down) = axis(0), axis(1)

    def line(number: tf.Tensor) -> tf.Tensor:
        start = number * (shape[1] + 2)
        before, behind = (tf.cast(tf.gather(flat, start + place), tf.float32) for place in (left, right))
        return _fused(across, behind - before, before)

    above, below = map(line, lines)
    mixed = tf.round(_fused(down, below - above, above))
    return tf.reshape(tf.cast(mixed, tf.uint8), [height, width, channels])


def _fused(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    """a * b + c of float32, rounded once."""
    wide = [tf.cast(x, tf.float64) for x in (a, b, c)]
    return tf.cast(wide[0] * wide[1] + wide[2], tf.float32)
