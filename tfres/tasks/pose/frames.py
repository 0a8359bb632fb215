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


def into_cut(
    centres: tf.Tensor, extents: tf.Tensor, size: tuple[int, int], degrees: tf.Tensor | float = 0.0
) -> tf.Tensor:
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


def warp(image: tf.Tensor, back: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """A cut of a picture, bilinear, black outside: the pixels of OpenCV 5's `warpAffine`.

    Places are computed as OpenCV does, in float32 with one fused multiply-add, which float64 stands in for here.

    Args:
        image: uint8 `(height, width, channels)`.
        back: float64 `(2, 3)`, from pixels of the cut to those of the picture.
        size: height and width of the cut.

    Returns:
        uint8 `(size, channels)`.
    """
    height, width = size
    back32 = tf.cast(back, tf.float32)
    rows = tf.range(height, dtype=tf.float32)[:, None] * back32[:, 1] + back32[:, 2]
    columns = tf.range(width, dtype=tf.float64)[:, None] * tf.cast(back32[:, 0], tf.float64)
    places = tf.cast(tf.cast(rows, tf.float64)[:, None] + columns, tf.float32)
    floors = tf.floor(places)
    shares = (places - floors)[..., None]
    shape = tf.shape(image)
    corners = tf.cast(tf.clip_by_value(floors, -2.0, 1e6), tf.int32)  # far outside is outside
    bordered = tf.pad(image, [[1, 1], [1, 1], [0, 0]])

    def at(right: int, down: int) -> tf.Tensor:
        place = tf.clip_by_value(corners[..., ::-1] + [down + 1, right + 1], 0, shape[:2] + 1)
        return tf.cast(tf.gather_nd(bordered, place), tf.float32)

    above = at(0, 0) + shares[..., 0, :] * (at(1, 0) - at(0, 0))
    below = at(0, 1) + shares[..., 0, :] * (at(1, 1) - at(0, 1))
    return tf.cast(tf.round(above + shares[..., 1, :] * (below - above)), tf.uint8)
